"""Predictions that lie beyond the data: by which quantity, and by how much."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from degen.arrays import Floats

from .result import FitResult, Row

BEYOND = "beyond_data"
_ROUNDING = 1 + 1e-9


def mark_beyond_data(result: FitResult, values: Mapping[str, Floats]) -> FitResult:
    """Return a result whose frontier and predictions say where they lie beyond the fitted points.

    Every row gets a column `beyond_data`, as `beyond` returns it.

    Args:
        result: of the fit.
        values: at the fitted points, of each quantity by its name in these rows.
    """
    ranges = {name: (float(v.min()), float(v.max())) for name, v in values.items()}

    def marked(rows: Sequence[Row]) -> list[Row]:
        return [{**row, BEYOND: beyond(row, ranges)} for row in rows]

    return replace(result, frontier=marked(result.frontier), predictions=marked(result.predictions))


def beyond(row: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]) -> str | None:
    """Return the quantity by which a row lies farthest beyond the ranges of some points; None where it does not.

    Args:
        row: quantities of a model, by name.
        ranges: smallest and largest value of each quantity at the fitted points.

    Returns:
        Such as `flops × 50`: 50 times the largest value, or × 0.02, that part of the smallest.
    """
    factors: dict[str, float] = {}
    for name, (low, high) in ranges.items():
        value = row.get(name)
        if value is not None and value > high * _ROUNDING:
            factors[name] = value / high
        elif value is not None and value * _ROUNDING < low:
            factors[name] = value / low
    if not factors:
        return None
    farthest = max(factors, key=lambda name: abs(math.log(factors[name])))
    return f"{farthest} × {factors[farthest]:.3g}"
