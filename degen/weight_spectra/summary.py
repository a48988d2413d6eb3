"""Table `weights` in short: medians over the matrices of each kind."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from degen.tables import Row

from .columns import COLUMNS

FIGURES = tuple(c.name for c in COLUMNS if c.type == "float64")


def by_kind(rows: Sequence[Row]) -> list[Row]:
    """Return a row for each kind of matrix in the order of their first: how many there are, and medians of the figures.

    Args:
        rows: of table `weights`, of one checkpoint.

    Returns:
        Columns `kind`, `count`, and the figures, None where no matrix of the kind has one.
    """
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row["kind"], []).append(row)
    return [
        {"kind": kind, "count": len(own)}
        | {
            name: median(values) if (values := [row[name] for row in own if row[name] is not None]) else None
            for name in FIGURES
        }
        for kind, own in kinds.items()
    ]
