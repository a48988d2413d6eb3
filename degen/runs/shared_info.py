"""run.json of a run that several processes write: each adds what it has changed, and keeps what others have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .run_file import PLANNED, PROBES_BY_CONFIG

_JOINED = ("batch_tokens", PROBES_BY_CONFIG)  # entries that change by keys
_OF_FIRST = ("degen_version", "versions", "threads")  # that tell of the process that made the run


def merge_info(stored: Mapping[str, Any], before: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return run.json with the changes of one process.

    Args:
        stored: what the file says now.
        before: what it said when this process read it.
        own: what this process makes of that.
    """
    merged = dict(stored)
    for name, value in own.items():
        if name in _JOINED:
            merged[name] = _join_keys(stored.get(name, {}), before.get(name, {}), value)
        elif name == PLANNED:
            merged[name] = _join_planned(stored.get(name, {}), value)
        elif value != before.get(name) and not (name in _OF_FIRST and name in stored):
            merged[name] = value
    return merged


def _join_keys(stored: Mapping[str, Any], before: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry with the keys that this process has added, changed or taken back; see `merge_info`."""
    kept = {key: value for key, value in stored.items() if key in own or key not in before}
    return kept | {key: value for key, value in own.items() if key not in before or before[key] != value}


def _join_planned(stored: Mapping[str, list[str]], own: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return the planned revisions of both, by model: a series may have grown between two processes."""
    return {model: list(dict.fromkeys([*stored.get(model, ()), *own.get(model, ())])) for model in {**stored, **own}}
