"""Groups of options: declared once as a dataclass, taken by a command as one parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from typing import Annotated, Any, get_args, get_origin, get_type_hints


class OptionGroup:
    """The base of dataclasses whose fields are options: `Annotated` types of Typer, with their defaults."""


@dataclass(frozen=True)
class Without:
    """Fields of a group that a command does not offer, as in `Annotated[ScanOptions, Without("probes")]`."""

    names: frozenset[str]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", frozenset(names))


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command for Typer in which each parameter that is a group stands for the fields of the group.

    The fields become parameters where the group stood, in their order and under their names. When the command runs,
    each group is built from its fields by name.

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


def _parameters(group: Any, kind: Any) -> Iterator[inspect.Parameter]:
    """Yield a parameter for each field of a group, without those that the type leaves out."""
    types = get_type_hints(group, include_extras=True)
    left_out = {name for extra in getattr(kind, "__metadata__", ()) for name in extra.names}
    for field in fields(group):
        if field.name not in left_out:
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            yield inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=types[field.name]
            )
