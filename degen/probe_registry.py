"""Every probe that is installed, found through the entry-point group `degen.probes`: ours beside anybody else's."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

from .errors import DegenError, one_line
from .probe import HeadProbe, Probe, StreamProbe

GROUP = "degen.probes"


def installed() -> dict[str, EntryPoint]:
    """Return every probe's entry point by name, in alphabetical order."""
    return {e.name: e for e in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


def load_probes(names: Sequence[str] | None) -> dict[str, type[Probe]]:
    """Load the probes named; the default ones for None.

    Raises:
        DegenError: an unknown name, or a probe that cannot be imported.
    """
    there = installed()
    if names is None:
        return {name: probe for name, entry in there.items() if (probe := _usable(entry)) and probe.default}
    for name in names:
        if name not in there:
            close = difflib.get_close_matches(name, there, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(there)}"
            raise DegenError(f"no probe is called {name!r}{hint}")
    return {name: _load(there[name]) for name in sorted(set(names))}


def _usable(entry: EntryPoint) -> type[Probe] | None:
    """Return a probe that nobody asked for by name; a broken one stands in nobody's way."""
    try:
        return _load(entry)
    except DegenError as error:
        logging.getLogger("degen").warning("warning: %s; it is passed over", error)
        return None


def _load(entry: EntryPoint) -> type[Probe]:
    try:
        probe = entry.load()
    except Exception as error:  # whatever a third party's module does on import
        raise DegenError(f"probe {entry.name} ({entry.value}) cannot be imported: {one_line(error)}") from error
    if not (isinstance(probe, type) and issubclass(probe, HeadProbe | StreamProbe)):
        raise DegenError(f"probe {entry.name} ({entry.value}) is neither a HeadProbe nor a StreamProbe")
    return probe
