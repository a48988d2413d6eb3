"""The names of checkpoints on axes and in legends: steps, or revisions where steps do not tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from degen.printable import printable

from .run_data import ReportData

T = TypeVar("T")


def checkpoint_names(data: ReportData) -> dict[tuple[str, str], str]:
    """Return the name of each checkpoint, by model and printable revision."""
    names: dict[tuple[str, str], str] = {}
    for model in data.models:
        rows = [row for row in data.checkpoints if row["model"] == model]
        steps = [row["step"] for row in rows]
        by_step = None not in steps and len(set(steps)) == len(steps)
        for row in rows:
            revision = printable(row["revision"])
            names[model, revision] = f"{row['step']:,}" if by_step else revision
    return names


def thin(items: Sequence[T], most: int) -> list[T]:
    """Return at most so many of some items, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]
