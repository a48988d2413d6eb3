"""Where the lines of two architectures cross, so that their order changes."""

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
    """Return where the lines of two architectures cross within the compute that both have: where their order changes.

    Formula: x = (a₂ − a₁)/(b₁ − b₂). The interval is Fieller's: all x at which the difference of the lines, over its
    standard error, is less than t, with Welch's degrees of freedom. It has no end where the slopes do not differ by
    more than their noise. `sure` says that it lies within the compute of both, so that the order did change.

    Args:
        lines: of the architectures; see `fit_architecture_lines`.
        regions: to say in which of them a crossing lies.
        quality: what the lines are of.
        confidence: of the intervals.

    Returns:
        A row for each crossing, in the order of compute.

    Source: Fieller 1954, Some Problems in Interval Estimation, J. R. Stat. Soc. B 16.
    """
    rows: list[Row] = []
    for one, two in combinations(lines, 2):
        if one.fit is None or two.fit is None or one.fit.slope == two.fit.slope:
            continue
        low, high = max(one.x.min(), two.x.min()), min(one.x.max(), two.x.max())
        at = one.fit.centre - (one.fit.height - two.fit.at(one.fit.centre)) / (one.fit.slope - two.fit.slope)
        if not low - BEYOND <= at <= high + BEYOND or high - low <= BEYOND:
            continue
        interval, reason = _fieller(one.fit, two.fit, at, confidence)
        ahead, behind = (one, two) if (one.fit.slope < two.fit.slope) == (quality.better == "max") else (two, one)
        rows.append({
            "quality": quality.name,
            "better": quality.better,
            "best_below": ahead.architecture,
            "best_above": behind.architecture,
            "flops": 10**at,
            "flops_low": _flops(interval[0]) if interval is not None else None,
            "flops_high": _flops(interval[1]) if interval is not None else None,
            "sure": interval is not None and bool(low <= interval[0] and interval[1] <= high),
            "region": next((i for i, r in enumerate(regions, 1) if r.low <= 10**at <= r.high), None),
            "reason": reason,
        })  # fmt: skip
    return sorted(rows, key=lambda row: row["flops"])


def _fieller(one: Line, two: Line, at: float, confidence: float) -> tuple[tuple[float, float] | None, str | None]:
    """Return all places where the lines may be equal, and why there is no such interval.

    With z the distance from the crossing: (Δb·z)² ≤ t²·(v₀ + 2·v₁·z + v₂·z²), the right being the variance there.
    """
    t = welch_quantile(one, two, at, confidence)
    lines = [(line.variance, at - line.centre, line) for line in (one, two)]
    v0 = sum(s * (1 / line.points + d * d / line.spread) for s, d, line in lines)
    v1 = sum(s * d / line.spread for s, d, line in lines)
    v2 = sum(s / line.spread for s, _, line in lines)
    square = (one.slope - two.slope) ** 2 - t * t * v2
    if square <= 0:
        return None, f"no interval: at {confidence:.0%} the two slopes do not differ"
    middle, root = t * t * v1 / square, math.sqrt((t * t * v1) ** 2 + square * t * t * v0) / square
    return (at + middle - root, at + middle + root), None


def _flops(x: float) -> float:
    """Return 10^x; infinite where no float is so large."""
    return 10**x if x < 308 else math.inf
