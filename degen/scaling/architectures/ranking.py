"""Rank architectures in regions of compute, by the line of each over compute."""

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

MAX_REGIONS = 1000  # more than a table can be asked about, and than memory has room for


@dataclass(frozen=True)
class Region:
    """A stretch of compute, in FLOPs, ends included."""

    low: float
    high: float

    @property
    def centre(self) -> float:
        """Its middle on a logarithmic axis, √(low · high)."""
        return math.sqrt(self.low) * math.sqrt(self.high)


@dataclass(frozen=True, eq=False)
class ArchitectureLine:
    """One architecture over compute: its points and the line through them, against log₁₀ FLOPs.

    Attributes:
        architecture: its label.
        x: log₁₀ FLOPs of its points.
        fit: of least squares; None where there can be none.
        obstacle: why not.
    """

    architecture: str
    x: Floats
    fit: Line | None
    obstacle: str | None


def find_regions(flops: Floats, asked: int | Sequence[float]) -> list[Region]:
    """Return the regions of equal width in log₁₀ FLOPs, or between edges; none where all points lie at one compute.

    Raises:
        DegenError: fewer than one region or more than 1,000, or edges that do not rise.
    """
    known = flops[np.isfinite(flops) & (flops > 0)]
    if isinstance(asked, int):
        if not 1 <= asked <= MAX_REGIONS:
            raise DegenError(f"--regions {asked}: at least 1, at most {MAX_REGIONS}")
        if not len(known) or np.ptp(np.log10(known)) <= BEYOND:
            return []
        edges = np.logspace(np.log10(known.min()), np.log10(known.max()), asked + 1)
    else:
        edges = np.array(asked, dtype=np.float64)
        if len(edges) < 2 or not (np.isfinite(edges).all() and edges[0] > 0 and (np.diff(edges) > 0).all()):
            text = ",".join(f"{edge:g}" for edge in edges)
            raise DegenError(f"--regions {text}: edges must rise and be positive, as in 1e18,1e20,1e22")
    return [Region(float(low), float(high)) for low, high in pairwise(edges)]


def fit_architecture_lines(architectures: Sequence[str], flops: Floats, values: Floats) -> list[ArchitectureLine]:
    """Fit the line of each architecture on semi-log axes, y = a + b·log₁₀ FLOPs."""
    labels = np.array(architectures, dtype=object)
    known = np.isfinite(flops) & (flops > 0) & np.isfinite(values)
    lines = []
    for label in dict.fromkeys(architectures):
        own = known & (labels == label)
        x = np.log10(flops[own])
        obstacle = no_line(x, values[own])
        lines.append(ArchitectureLine(label, x, fit_line(x, values[own]) if obstacle is None else None, obstacle))
    return lines


def rank_regions(
    lines: Sequence[ArchitectureLine], regions: Sequence[Region], quality: Quality, confidence: float = 0.9
) -> list[Row]:
    """Return the architectures of each region, best first, by what their lines say at its centre.

    Fitted values rather than means of points: points of a region lie at other compute in each architecture. An
    architecture has a rank where the centre lies between its own first and last point, and a row with the reason where
    it does not: no line is drawn beyond its points. `gap` is how much better it is than the next one, with an interval
    by Welch's degrees of freedom; where that holds 0, the order of the two is not sure.

    Args:
        lines: of the architectures; see `fit_architecture_lines`.
        regions: the regions.
        quality: what the lines are of.
        confidence: of the intervals.

    Returns:
        A row for each region and architecture.
    """
    sign = 1.0 if quality.better == "max" else -1.0
    rows: list[Row] = []
    for number, region in enumerate(regions, start=1):
        at = math.log10(region.centre)
        head: Row = {
            "quality": quality.name, "better": quality.better, "region": number,
            "flops_low": region.low, "flops_high": region.high, "flops_centre": region.centre,
        }  # fmt: skip
        reasons = {line.architecture: _outside(line, at) for line in lines}
        inside = [line for line in lines if line.fit is not None and reasons[line.architecture] is None]
        inside.sort(key=lambda line: -sign * line.fit.at(at) if line.fit is not None else 0.0)
        for rank, line in enumerate(inside, start=1):
            following = inside[rank] if rank < len(inside) else None
            rows.append(head | _ranked(line, following, rank, at, sign, confidence) | _inside(line, region))
        for line in lines:
            if line not in inside:
                blank: Row = dict.fromkeys(("rank", "value", "value_low", "value_high", "gap", "gap_low", "gap_high"))
                own: Row = {"architecture": line.architecture, **blank, "reason": reasons[line.architecture]}
                rows.append(head | own | _inside(line, region))
    return rows


def _outside(line: ArchitectureLine, at: float) -> str | None:
    """Return why an architecture has no rank at a place; None where it has."""
    if line.fit is None:
        return line.obstacle
    first, last = float(line.x.min()), float(line.x.max())
    if at < first - BEYOND:
        return f"its points begin at {10**first:.3g} FLOPs, above the centre: no extrapolation"
    if at > last + BEYOND:
        return f"its points end at {10**last:.3g} FLOPs, below the centre: no extrapolation"
    return None


def _inside(line: ArchitectureLine, region: Region) -> Row:
    low, high = math.log10(region.low) - BEYOND, math.log10(region.high) + BEYOND
    return {"points_in_region": int(((line.x >= low) & (line.x <= high)).sum())}


def _ranked(
    line: ArchitectureLine, following: ArchitectureLine | None, rank: int, at: float, sign: float, confidence: float
) -> Row:
    assert line.fit is not None
    low, high = line.fit.interval_at(at, confidence)
    row: Row = {
        "architecture": line.architecture,
        "rank": rank,
        "value": line.fit.at(at),
        "value_low": low,
        "value_high": high,
        "gap": None,
        "gap_low": None,
        "gap_high": None,
        "reason": None,
    }
    if following is None or following.fit is None:
        return row
    gap = sign * (line.fit.at(at) - following.fit.at(at))
    error = math.sqrt(line.fit.variance_at(at) + following.fit.variance_at(at))
    reach = welch_quantile(line.fit, following.fit, at, confidence) * error
    return row | {"gap": gap, "gap_low": gap - reach, "gap_high": gap + reach}
