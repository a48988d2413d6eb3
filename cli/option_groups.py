"""Groups of options: declared once as a class, taken by a command as one parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cache, wraps
from typing import Annotated, Any, dataclass_transform, get_args, get_origin, get_type_hints


@dataclass_transform(kw_only_default=True)
class OptionGroup:
    """The base of groups: their fields are `Annotated` types of Typer with defaults, as those of a dataclass.

    No dataclass, for making a dozen of them is a tenth of the start-up time of `degen --help`.
    """

    def __init__(self, **values: Any) -> None:
        for name in self.options():
            setattr(self, name, values.pop(name) if name in values else getattr(type(self), name))
        if values:
            raise TypeError(f"{type(self).__name__} has no option {', '.join(values)}")

    @classmethod
    @cache
    def options(cls) -> dict[str, Any]:
        """Return the type of each option with what it tells Typer, by name and in order."""
        return get_type_hints(cls, include_extras=True)


class Without:
    """Options of a group that a command does not offer, as in `Annotated[ScanOptions, Without("probes")]`."""

    def __init__(self, *names: str) -> None:
        self.names = names


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command for Typer in which each parameter that is a group stands for the options of the group.

    The options become parameters where the group stood, in their order and under their names. When the command runs,
    each group is built from its options by name.

    Raises:
        ValueError: two parameters have the same name.
    """
    types = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type[OptionGroup], list[str]]] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = types[parameter.name]
        group = _group(kind)
        if group is None:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=kind))
        else:
            of_group = list(_parameters(group, kind))
            parameters += of_group
            groups[parameter.name] = group, [p.name for p in of_group]

    @wraps(command)
    def expanded(**given: Any) -> None:
        for name, (group, names) in groups.items():
            given[name] = group(**{field: given.pop(field) for field in names})
        command(**given)

    # Typer reads both: the signature for order and defaults, the annotations for types.
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {p.name: p.annotation for p in parameters}
    return expanded


def _group(kind: Any) -> type[OptionGroup] | None:
    """Return the group that a parameter's type names, None for any other type."""
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return bare if isinstance(bare, type) and issubclass(bare, OptionGroup) else None


def _parameters(group: type[OptionGroup], kind: Any) -> Iterator[inspect.Parameter]:
    """Yield a parameter for each option of a group, without those that the type leaves out."""
    left_out = {name for extra in getattr(kind, "__metadata__", ()) for name in extra.names}
    for name, annotation in group.options().items():
        if name not in left_out:
            default = getattr(group, name, inspect.Parameter.empty)
            yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
