"""What a piece of work costs, two of them in turn, and the ratios of the pairs."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tables import run_process

Row = dict[str, Any]


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock and of the processor, and bytes of memory above the loaded model where they are measured."""

    wall: float
    cpu: float
    peak: float | None = None

    def minus(self, other: Cost) -> Cost:
        """Return what this costs beyond another."""
        return Cost(self.wall - other.wall, self.cpu - other.cpu)

    def times(self, factor: float) -> Cost:
        """Return this so many times; memory stays."""
        return Cost(self.wall * factor, self.cpu * factor, self.peak)


def timed(call: Callable[[], Any]) -> Cost:
    """Return the cost of a call in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def in_turn(calls: Mapping[str, Callable[[], Cost]], pairs: int) -> dict[str, list[Cost]]:
    """Return the costs of each call, made in turn: A B, then B A, so often."""
    costs: dict[str, list[Cost]] = {name: [] for name in calls}
    for pair in range(pairs):
        for name in list(calls)[:: 1 if pair % 2 == 0 else -1]:
            costs[name].append(calls[name]())
    return costs


def process_cost(command: Sequence[str | Path], threads: int, apart: bool = False) -> tuple[Cost, str]:
    """Return the time that a process takes, and what it printed."""
    start = time.perf_counter()
    cpu, _, output = run_process([str(word) for word in command], apart, threads)
    return Cost(time.perf_counter() - start, cpu), output


def last_line(output: str) -> Any:
    """Return the JSON document in the last line of an output."""
    return json.loads(output.strip().splitlines()[-1])


def costs_of(document: Sequence[Mapping[str, float]]) -> list[Cost]:
    """Return costs from what a script printed of them."""
    return [Cost(**entry) for entry in document]


def compare(ours: Sequence[Cost], other: Sequence[Cost]) -> Row:
    """Return the medians of either and the ratio ours/other of the pairs: median, least and largest.

    Where the other was measured once, all of ours are divided by it.
    """
    pairs = list(zip(ours, list(other) * (len(ours) if len(other) == 1 else 1), strict=True))
    row: Row = {"ours": _median(ours), "other": _median(other), "pairs": len(pairs)}
    for quantity in ("wall", "cpu", "peak"):
        ratios = [getattr(a, quantity) / getattr(b, quantity) for a, b in pairs if getattr(b, quantity)]
        if ratios and all(getattr(a, quantity) is not None for a, _ in pairs):
            row[quantity] = {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
    return row


def _median(costs: Sequence[Cost]) -> Row:
    entries = [asdict(cost) for cost in costs]
    return {
        key: statistics.median(entry[key] for entry in entries)
        for key in entries[0]
        if all(entry[key] is not None for entry in entries)
    }
