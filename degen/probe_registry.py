"""The installed probes, found through the entry-point group `degen.probes`: ours like anybody else's."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from .errors import DegenError, one_line
from .hints import did_you_mean
from .model_probe import ModelProbe
from .probe import HeadProbe, Probe, SourceProbe, StreamProbe

GROUP = "degen.probes"
OWN = "degen.probes."  # where the classes of this package's own probes are


def installed() -> dict[str, EntryPoint]:
    """Return the entry point of every installed probe by name, in alphabetical order."""
    return dict(_entries(tuple((path, _changed(path)) for path in map(os.path.abspath, sys.path))))


@lru_cache(maxsize=8)
def _entries(_paths: tuple[tuple[str, int | None], ...]) -> tuple[tuple[str, EntryPoint], ...]:
    """Return names and entry points; asked anew where a folder of sys.path changed, since all packages are read."""
    return tuple((e.name, e) for e in sorted(entry_points(group=GROUP), key=lambda e: e.name))


def _changed(path: str) -> int | None:
    """Return when a folder last got or lost an entry, as installing a package does; None where there is none."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def bundled() -> list[str]:
    """Return the names of the probes that come with this package, in alphabetical order."""
    return [name for name, entry in installed().items() if entry.value.startswith(OWN)]


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
            raise DegenError(f"no probe is called {name!r}; {_probe_of(name, entries) or did_you_mean(name, entries)}")
    return {name: _load(entries[name]) for name in sorted(set(names))}


def _probe_of(name: str, entries: Mapping[str, EntryPoint]) -> str | None:
    """Return which probe fills a column of this name, or names a figure by it; None where none does."""
    words = name.replace("_", " ").strip().lower()
    for own, probe in ((own, _usable(entry)) for own, entry in entries.items()):
        for metric in probe.metrics if probe is not None and words else ():
            if name in metric.columns:
                return f"probe {own} measures it"
            if words in metric.clashes.lower():
                return f"see `degen probes {own}`, {metric.columns[0]}: {metric.clashes}"
    return None


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


def needs_text(probes: Collection[type[Probe]]) -> bool:
    """Return whether one of some probes needs text, sent through the model or counted."""
    return sends_text(probes) or any("counts" in probe.needs for probe in probes)


def sends_text(probes: Collection[type[Probe]]) -> bool:
    """Return whether one of some probes needs text sent through the model."""
    return any(issubclass(probe, StreamProbe) or "model" in probe.needs for probe in probes)
