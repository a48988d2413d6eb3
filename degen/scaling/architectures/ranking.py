"""Rank architectures in regions of compute, by the line fitted to each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.stats.linear_fit import BEYOND, Line, fit_line, no_line, welch_quantile
from degen.tables import Row

from .columns import Quality

MAX_REGIONS = 1000  # more than any table supports, and few enough for memory

_VALUES = ("value", "value_low", "value_high", "gap", "gap_low", "gap_high")


@dataclass(frozen=True)
class Region:
    """A range of compute in FLOPs, ends included."""

    low: float
    high: float

    @property
    def centre(self) -> float:
        """The middle on a logarithmic axis, √(low · high)."""
        return math.sqrt(self.low) * math.sqrt(self.high)


@dataclass(frozen=True, eq=False)
class ArchitectureLine:
    """The points of one architecture and the line through them, over log₁₀ FLOPs.

    Attributes:
        architecture: its label.
        x: log₁₀ FLOPs of its points.
        fit: the line of least squares; None where it cannot be fitted.
        obstacle: why it cannot be fitted; None where it can.
    """

    architecture: str
    x: Floats
    fit: Line | None
    obstacle: str | None


def find_regions(flops: Floats, regions: int | Sequence[float]) -> list[Region]:
    """Return the regions of compute; empty where all points have the same compute.

    Args:
        flops: C of the points.
        regions: how many regions of equal width in log₁₀ FLOPs to make; or their edges in FLOPs.

    Raises:
        DegenError: the number is below 1 or above 1,000, or the edges do not rise or are not positive.
    """
    known = flops[np.isfinite(flops) & (flops > 0)]
    if isinstance(regions, int):
        if not 1 <= regions <= MAX_REGIONS:
            raise DegenError(f"--regions {regions}: must be at least 1 and at most {MAX_REGIONS}")
        if not len(known) or np.ptp(np.log10(known)) <= BEYOND:
            return []
        edges = np.logspace(np.log10(known.min()), np.log10(known.max()), regions + 1)
    else:
        edges = np.array(regions, dtype=np.float64)
        if len(edges) < 2 or not (np.isfinite(edges).all() and edges[0] > 0 and (np.diff(edges) > 0).all()):
            text = ",".join(f"{edge:g}" for edge in edges)
            raise DegenError(f"--regions {text}: the edges must be positive and rising, as 1e18,1e20,1e22")
    return [Region(float(low), float(high)) for low, high in pairwise(edges)]


def fit_architecture_lines(architectures: Sequence[str], flops: Floats, values: Floats) -> list[ArchitectureLine]:
    """Return the line of each architecture on semi-log axes, y = a + b·log₁₀ FLOPs.

    Args:
        architectures: label of each row.
        flops: C of each row.
        values: y of each row, NaN where unknown.
    """
    labels = np.array(architectures, dtype=object)
    known = np.isfinite(flops) & (flops > 0) & np.isfinite(values)
    lines = []
    for label in dict.fromkeys(architectures):
        rows = known & (labels == label)
        x = np.log10(flops[rows])
        obstacle = no_line(x, values[rows])
        lines.append(ArchitectureLine(label, x, fit_line(x, values[rows]) if obstacle is None else None, obstacle))
    return lines


def rank_regions(
    lines: Sequence[ArchitectureLine], regions: Sequence[Region], quality: Quality, confidence: float = 0.9
) -> list[Row]:
    """Rank the architectures in each region by the values of their lines at its centre.

    Values of the lines are compared, not means of points, since the points of a region lie at different compute in each
    architecture. Lines are not extrapolated: an architecture has a rank where the centre lies between its first and
    last point, and elsewhere a row with the reason. `gap` is its lead over the next architecture, with an interval by
    Welch's degrees of freedom; where that contains 0, the order of the two is not certain.

    Args:
        lines: of the architectures; see `fit_architecture_lines`.
        regions: the regions.
        quality: the column that the lines were fitted to.
        confidence: of the intervals.

    Returns:
        A row for each region and architecture, best first.
    """
    sign = 1.0 if quality.better == "max" else -1.0
    rows: list[Row] = []
    for number, region in enumerate(regions, start=1):
        x = math.log10(region.centre)
        head: Row = {
            "quality": quality.name, "better": quality.better, "region": number,
            "flops_low": region.low, "flops_high": region.high, "flops_centre": region.centre,
        }  # fmt: skip
        reasons = {line.architecture: _obstacle(line, x) for line in lines}
        ranked = [(line, line.fit) for line in lines if line.fit is not None and reasons[line.architecture] is None]
        ranked.sort(key=lambda pair: -sign * pair[1].at(x))
        for rank, (line, fit) in enumerate(ranked, start=1):
            runner_up = ranked[rank][1] if rank < len(ranked) else None
            values = {"rank": rank, **_value_and_gap(fit, runner_up, x, sign, confidence), "reason": None}
            rows.append({**head, "architecture": line.architecture, **values, **_points_inside(line, region)})
        for line in lines:
            if reason := reasons[line.architecture]:
                blank = {**dict.fromkeys(("rank", *_VALUES)), "reason": reason}
                rows.append({**head, "architecture": line.architecture, **blank, **_points_inside(line, region)})
    return rows


def _obstacle(line: ArchitectureLine, x: float) -> str | None:
    """Return why the architecture of `line` has no rank at log₁₀ FLOPs x; None where it has one."""
    if line.fit is None:
        return line.obstacle
    first, last = float(line.x.min()), float(line.x.max())
    if x < first - BEYOND:
        return f"its points begin at {10**first:.3g} FLOPs, above the centre: its line is not extrapolated"
    if x > last + BEYOND:
        return f"its points end at {10**last:.3g} FLOPs, below the centre: its line is not extrapolated"
    return None


def _points_inside(line: ArchitectureLine, region: Region) -> Row:
    low, high = math.log10(region.low) - BEYOND, math.log10(region.high) + BEYOND
    return {"points_in_region": int(((line.x >= low) & (line.x <= high)).sum())}


def _value_and_gap(fit: Line, runner_up: Line | None, x: float, sign: float, confidence: float) -> Row:
    """Return the columns of a rank: the value of a line at x and its lead over the next line, with their intervals.

    Args:
        fit: the line.
        runner_up: the line of the next architecture; None for the last.
        x: log₁₀ FLOPs.
        sign: 1 where higher values are better, −1 where lower ones are.
        confidence: of the intervals.
    """
    low, high = fit.interval_at(x, confidence)
    row: Row = {**dict.fromkeys(_VALUES), "value": fit.at(x), "value_low": low, "value_high": high}
    if runner_up is None:
        return row
    gap = sign * (fit.at(x) - runner_up.at(x))
    error = math.sqrt(fit.variance_at(x) + runner_up.variance_at(x))
    reach = welch_quantile(fit, runner_up, x, confidence) * error
    return row | {"gap": gap, "gap_low": gap - reach, "gap_high": gap + reach}
