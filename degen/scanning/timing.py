"""How long a checkpoint took, by phase: the rows of table `timing`."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from degen.tables import Row

from .measure_spec import MeasureSpec


class Clock:
    """Seconds by phase.

    Args:
        on_phase: called with the name of each phase when it begins.
    """

    def __init__(self, on_phase: Callable[[str], None] = lambda _: None) -> None:
        self.seconds: dict[str, float] = {}
        self._on_phase = on_phase

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of the block to a phase."""
        self._on_phase(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def timing_rows(clock: Clock, spec: MeasureSpec, version: str | None, dtype: Any) -> list[Row]:
    """Return the rows of table `timing`: a phase each, and their total.

    Args:
        clock: seconds by phase.
        spec: what was measured.
        version: of the checkpoint's source; None without one.
        dtype: of the model that was loaded; None where none was, and the one of `spec` stands.
    """
    shared = {
        "peak_rss": peak_rss(),
        "device": str(spec.device),
        "dtype": str(dtype if dtype is not None else spec.dtype).removeprefix("torch."),
        "source_version": version,
    }
    phases = {**clock.seconds, "total": sum(clock.seconds.values())}
    return [{"phase": name, "seconds": seconds, **shared} for name, seconds in phases.items()]


def add_timing(earlier: Sequence[Row], rows: Sequence[Row]) -> list[Row]:
    """Return the rows of a checkpoint measured in two scans: seconds added by phase, the larger peak of memory."""
    by_phase = {row["phase"]: row for row in earlier}
    for row in rows:
        if (before := by_phase.get(row["phase"])) is not None:
            row |= {
                "seconds": before["seconds"] + row["seconds"],
                "peak_rss": max(before["peak_rss"], row["peak_rss"]),
            }
        by_phase[row["phase"]] = row
    return [row for row in by_phase.values() if row["phase"] != "total"] + [by_phase["total"]]


def peak_rss() -> int:
    """Return the most bytes of memory that this process has held so far.

    On Linux from /proc: what getrusage returns there begins with the memory of the process that started this one.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
