"""Which settings of a run differ from those of a scan that would continue it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def describe_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return which settings differ, as the user would write them."""
    old, new = _flat(old), _flat(new)
    new = dict.fromkeys(old.keys() - new.keys()) | new
    names = [name for name in new if old.get(name) != new[name]]
    shown = [f"{n} {_format_setting(old.get(n))} (now {_format_setting(new[n])})" for n in names[:2]]
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"was scanned with other settings: {', '.join(shown)}{more}"


def _flat(settings: Mapping[str, Any], names: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return settings in one level: those within others by their own name, as `ranks of rank` for a probe's option."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        inner = (*names, name)
        if isinstance(value, Mapping):
            flat |= _flat(value, inner)
        else:
            flat[" of ".join(reversed([n for n in inner if n != "options"]))] = value
    return flat


def _format_setting(value: Any) -> str:
    """Return a setting as a user would write it."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "by default" if value is None else str(value)
