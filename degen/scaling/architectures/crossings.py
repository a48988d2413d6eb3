"""Crossings of the lines of two architectures over compute, at which their order changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from degen.stats.linear_fit import BEYOND, Line, welch_quantile
from degen.tables import Row

from .columns import Quality
from .ranking import ArchitectureLine, Region


def find_crossings(
    lines: Sequence[ArchitectureLine], regions: Sequence[Region], quality: Quality, confidence: float = 0.9
) -> list[Row]:
    """Return the crossings of the lines of two architectures within the range of compute that both have.

    Formula: x = (a₂ − a₁)/(b₁ − b₂). The interval is Fieller's: all x at which the difference of the lines, over its
    standard error, is less than t, with Welch's degrees of freedom. It is unbounded where the slopes do not differ
    significantly. The column `sure` says whether it lies within the compute of both, so that the order does change.

    Args:
        lines: of the architectures; see `fit_architecture_lines`.
        regions: regions of compute; a row says which one a crossing lies in.
        quality: the column that the lines were fitted to.
        confidence: of the intervals.

    Returns:
        A row for each crossing, in ascending order of compute.

    Source: Fieller 1954, Some Problems in Interval Estimation, J. R. Stat. Soc. B 16.
    """
    rows: list[Row] = []
    for first, second in combinations(lines, 2):
        if first.fit is None or second.fit is None or first.fit.slope == second.fit.slope:
            continue
        low, high = max(first.x.min(), second.x.min()), min(first.x.max(), second.x.max())
        centre = first.fit.centre
        x = centre - (first.fit.height - second.fit.at(centre)) / (first.fit.slope - second.fit.slope)
        if not low - BEYOND <= x <= high + BEYOND or high - low <= BEYOND:
            continue
        interval, reason = _fieller(first.fit, second.fit, x, confidence)
        first_is_below = (first.fit.slope < second.fit.slope) == (quality.better == "max")
        below, above = (first, second) if first_is_below else (second, first)
        rows.append({
            "quality": quality.name,
            "better": quality.better,
            "best_below": below.architecture,
            "best_above": above.architecture,
            "flops": 10**x,
            "flops_low": _flops(interval[0]) if interval is not None else None,
            "flops_high": _flops(interval[1]) if interval is not None else None,
            "sure": interval is not None and bool(low <= interval[0] and interval[1] <= high),
            "region": next((i for i, r in enumerate(regions, 1) if r.low <= 10**x <= r.high), None),
            "reason": reason,
        })  # fmt: skip
    return sorted(rows, key=lambda row: row["flops"])


def _fieller(first: Line, second: Line, x: float, confidence: float) -> tuple[tuple[float, float] | None, str | None]:
    """Return the interval of x in which two lines may be equal, and None; or None and the reason why it has no ends.

    Formula: all x + z with (Δb·z)² ≤ t²·(v₀ + 2·v₁·z + v₂·z²), where the bracket is the variance of the difference of
    the lines at the distance z from their crossing.

    Args:
        first: a line.
        second: another line.
        x: where they cross.
        confidence: of the interval.
    """
    t = welch_quantile(first, second, x, confidence)
    terms = [(line.variance, x - line.centre, line) for line in (first, second)]
    v0 = sum(s * (1 / line.points + d * d / line.spread) for s, d, line in terms)
    v1 = sum(s * d / line.spread for s, d, line in terms)
    v2 = sum(s / line.spread for s, _, line in terms)
    square = (first.slope - second.slope) ** 2 - t * t * v2
    if square <= 0:
        return None, f"the interval has no ends, because the two slopes do not differ at {confidence:.0%} confidence"
    middle, root = t * t * v1 / square, math.sqrt((t * t * v1) ** 2 + square * t * t * v0) / square
    return (x + middle - root, x + middle + root), None


def _flops(x: float) -> float:
    """Return 10^x; infinity where that is too large for a number."""
    return 10**x if x < 308 else math.inf
