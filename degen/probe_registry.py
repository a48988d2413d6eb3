"""The installed probes, found through the entry-point group `degen.probes`: ours like anybody else's."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

from .errors import DegenError, one_line
from .hints import did_you_mean
from .model_probe import ModelProbe
from .probe import HeadProbe, Probe, SourceProbe, StreamProbe

GROUP = "degen.probes"


def installed() -> dict[str, EntryPoint]:
    """Return the entry point of every installed probe by name, in alphabetical order."""
    return {e.name: e for e in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


def load_probes(names: Sequence[str] | None) -> dict[str, type[Probe]]:
    """Return probes by name: those asked for, or the default ones for None.

    Raises:
        DegenError: an unknown name, or a probe that cannot be imported.
    """
    entries = installed()
    if names is None:
        return {name: probe for name, entry in entries.items() if (probe := _usable(entry)) and probe.default}
    for name in names:
        if name not in entries:
            raise DegenError(f"no probe is called {name!r}; {did_you_mean(name, entries)}")
    return {name: _load(entries[name]) for name in sorted(set(names))}


def _usable(entry: EntryPoint) -> type[Probe] | None:
    """Return a probe, or None with a warning where it cannot be loaded and nobody asked for it."""
    try:
        return _load(entry)
    except DegenError as error:
        logging.getLogger("degen").warning("warning: %s; it is left out", error)
        return None


def _load(entry: EntryPoint) -> type[Probe]:
    try:
        probe = entry.load()
    except Exception as error:  # a third party's module may raise anything on import
        raise DegenError(f"probe {entry.name} ({entry.value}) cannot be imported: {one_line(error)}") from error
    if not (isinstance(probe, type) and issubclass(probe, HeadProbe | ModelProbe | SourceProbe | StreamProbe)):
        raise DegenError(f"probe {entry.name} ({entry.value}) is no HeadProbe, ModelProbe, SourceProbe or StreamProbe")
    return probe
