"""Groups of options: declared once as a class, and taken by a command as one parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from copy import copy
from functools import cache, wraps
from typing import Annotated, Any, ClassVar, dataclass_transform, get_args, get_origin, get_type_hints


@dataclass_transform(kw_only_default=True)
class OptionGroup:
    """The base class of groups: their fields are `Annotated` types of Typer with defaults, as in a dataclass.

    Attributes:
        panel: the subject under which the help shows those options that name none; None for no subject.

    It is no dataclass because creating a dozen of those takes a tenth of the start-up time of `degen --help`.
    """

    panel: ClassVar[str | None] = None

    def __init__(self, **values: Any) -> None:
        for name in self.options():
            setattr(self, name, values.pop(name) if name in values else getattr(type(self), name))
        if values:
            raise TypeError(f"{type(self).__name__} has no option {', '.join(values)}")

    @classmethod
    @cache
    def options(cls) -> dict[str, Any]:
        """Return the annotated type of each option, by name and in order."""
        hints = get_type_hints(cls, include_extras=True)
        return {name: _in_panel(hint, cls.panel) for name, hint in hints.items() if get_origin(hint) is not ClassVar}


def _in_panel(hint: Any, panel: str | None) -> Any:
    """Return the annotated type of an option, under a subject where it names none itself."""
    kind, *metadata = get_args(hint)
    return Annotated[(kind, *(_moved(one, panel) for one in metadata))]


def _moved(option: Any, panel: str | None) -> Any:
    if panel is None or getattr(option, "rich_help_panel", panel) is not None:
        return option
    moved = copy(option)  # commands share options
    moved.rich_help_panel = panel
    return moved


class Without:
    """Names of options that a command leaves out of a group, as in `Annotated[ScanOptions, Without("probes")]`."""

    def __init__(self, *names: str) -> None:
        self.names = names


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command for Typer with the options of a group in place of each parameter that is a group.

    The options keep their order and names. When the command runs, each group is built from its options by name.

    Raises:
        ValueError: two parameters have the same name.
    """
    types = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type[OptionGroup], list[str]]] = {}
    for parameter in inspect.signature(command).parameters.values():
        annotation = types[parameter.name]
        group = _group(annotation)
        if group is None:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=annotation))
        else:
            options = list(_parameters(group, annotation))
            parameters += options
            groups[parameter.name] = group, [option.name for option in options]

    @wraps(command)
    def expanded(**values: Any) -> None:
        for name, (group, names) in groups.items():
            values[name] = group(**{option: values.pop(option) for option in names})
        command(**values)

    # Typer reads order and defaults from the signature, types from the annotations.
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {p.name: p.annotation for p in parameters}
    return expanded


def _group(annotation: Any) -> type[OptionGroup] | None:
    """Return the group that a parameter is annotated with, None for any other type."""
    bare = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return bare if isinstance(bare, type) and issubclass(bare, OptionGroup) else None


def _parameters(group: type[OptionGroup], annotation: Any) -> Iterator[inspect.Parameter]:
    """Yield a parameter for each option of a group, but for those named by `Without`."""
    left_out = {name for without in getattr(annotation, "__metadata__", ()) for name in without.names}
    for name, option in group.options().items():
        if name not in left_out:
            default = getattr(group, name, inspect.Parameter.empty)
            yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option)
