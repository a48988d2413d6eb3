"""Where a head becomes a bottleneck: the smallest rank whose loss is near that of the full head."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from degen.arrays import Floats
from degen.stats.monotone import falling_fit
from degen.stats.quantiles import two_sided
from degen.tables import Row

WITHIN = 0.05  # nats
CONFIDENCE = 0.95  # of the interval
ROUNDING = 1e-9  # nats; a gap within this of the bound equals it
SAME = 1e-4  # nats per token, to which float32 makes two heads equal
MOST_SKEWED = 2.0  # how much further than the lower end of a gap its upper end may lie
LEAST_ERROR = 1e-3  # of the largest standard error: below it all gaps weigh alike


def bottleneck_rank(
    ranks: Sequence[int],
    gaps: Sequence[float],
    errors: Sequence[float | None],
    within: float = WITHIN,
    freedom: float | None = None,
) -> Row:
    """Return the smallest rank whose loss is near that of the full head, and an interval of 95 % for it.

    Formulas: min { r : g(r) < within } over measured ranks, without interpolation, with g the curve nearest to the gaps
    that does not rise with rank. The interval begins at min { r : gap(r) − h < within }, and ends at the smallest rank
    from which on every gap(r) + h·min(1 + h/(2·gap(r)), 2) < within, so that no choice among ranks makes it narrower. h
    is t·se(r), with Student's t for the documents that the errors come from. Gaps of documents are skewed to the right:
    the upper end is that of an interval on a log scale to second order, and at most twice as far as the lower. A gap
    equal to `within`, up to rounding of 1e-9, is not below.

    Args:
        ranks: the measured ranks, in any order.
        gaps: the loss at each rank minus that of the full head on the same windows, nats per token.
        errors: the standard error of each gap; None where it is unknown.
        within: a gap below this is near, nats per token.
        freedom: degrees of freedom of the errors, one less than there are documents of equal weight; None for the
            normal distribution.

    Returns:
        The columns `bottleneck_rank`, None where no gap is below `within`, and `bottleneck_rank_low` and
        `bottleneck_rank_high`, each None where the end is above all measured ranks, or an error unknown.
    """
    known = sorted((r, g, e) for r, g, e in zip(ranks, gaps, errors, strict=True) if math.isfinite(g))
    bound = within - ROUNDING
    reached = low = high = None
    if known:
        fitted = _falling([gap for _, gap, _ in known], [error for _, _, error in known])
        reached = min((rank for (rank, _, _), gap in zip(known, fitted, strict=True) if gap < bound), default=None)
    if known and all(error is not None for _, _, error in known):
        t = two_sided(CONFIDENCE, freedom)
        low = min((rank for rank, gap, error in known if gap - t * (error or 0.0) < bound), default=None)
        too_high = [rank for rank, gap, error in known if not _upper_end(gap, t * (error or 0.0)) < bound]
        high = min((rank for rank, _, _ in known if rank > max(too_high, default=0)), default=None)
    return {"bottleneck_rank": reached, "bottleneck_rank_low": low, "bottleneck_rank_high": high}


def _upper_end(gap: float, half: float) -> float:
    """Return the upper end of a gap's interval, whose lower end lies `half` below it."""
    return gap + half * (min(1 + half / (2 * gap), MOST_SKEWED) if gap > 0 else MOST_SKEWED)


def _falling(gaps: Sequence[float], errors: Sequence[float | None]) -> Floats:
    """Return the curve that never rises and is nearest to the gaps, each weighed by one over its variance."""
    spread: Floats = np.asarray([error or 0.0 for error in errors], dtype=np.float64)
    shares = spread / spread.max() if spread.max() > 0 else np.ones(len(spread))  # their own squares may be no floats
    return falling_fit(np.asarray(gaps, dtype=np.float64), np.maximum(shares, LEAST_ERROR) ** -2.0)


def bottleneck_of_method(rows: Sequence[Row], falls: Sequence[float], within: float, freedom: float | None) -> Row:
    """Return the bottleneck rank of one method with its interval; all None where a head still in training decides.

    A head whose loss may yet fall counts for nothing: it is left out of the curve, and there is no bottleneck rank
    where it might come within reach at a smaller rank.

    Args:
        rows: of table `ranks`, one of each rank.
        falls: how much lower each loss might be after more training, nats per token; 0 where there is no more to learn.
        within: as for `bottleneck_rank`.
        freedom: as for `bottleneck_rank`.
    """
    done = [row for row, fall in zip(rows, falls, strict=True) if fall == 0.0]
    columns = (
        [row["rank"] for row in done],
        [row["loss_gap"] for row in done],
        [row["loss_gap_se"] for row in done],
    )
    result = bottleneck_rank(*columns, within, freedom)
    reached = result["bottleneck_rank"]
    for row, fall in zip(rows, falls, strict=True):
        smaller = reached is None or row["rank"] < reached
        if fall > 0.0 and smaller and not row["loss_gap"] - fall >= within:
            return dict.fromkeys(result)
    return result


def best_method(by_method: dict[str, Row], rows: Sequence[Row]) -> Row:
    """Return the bottleneck rank of the best method, the smallest, and the method's name in `bottleneck_rank_method`.

    Every head W = AB of a rank bounds the loss of that rank from above, so the smallest bottleneck rank is nearest to
    the truth. Of several methods that have it, the one of the lowest loss at this rank counts, the last of equal ones.

    Args:
        by_method: the columns of `bottleneck_rank` for each method.
        rows: of table `ranks`, of all methods and ranks.
    """
    reached = [columns["bottleneck_rank"] for columns in by_method.values()]
    smallest = min((rank for rank in reached if rank is not None), default=None)
    if smallest is None:  # the lower ends may be known all the same
        lows = [columns["bottleneck_rank_low"] for columns in by_method.values()]
        low = min((rank for rank in lows if rank is not None), default=None)
        none = dict.fromkeys(("bottleneck_rank", "bottleneck_rank_high", "bottleneck_rank_method"))
        return {**none, "bottleneck_rank_low": low}
    losses = {row["method"]: row["loss"] for row in rows if row["rank"] == smallest}
    methods = [method for method, rank in zip(by_method, reached, strict=True) if rank == smallest]
    least = min(losses[method] for method in methods)
    best = [method for method in methods if losses[method] <= least + SAME][-1]
    return by_method[best] | {"bottleneck_rank_method": best}


def why_no_bottleneck_rank(ranks: Sequence[int], gaps: Sequence[float], within: float, width: int | None) -> str:
    """Return why a curve of loss gaps, none of which is within reach, has no bottleneck rank, and what to do.

    Args:
        ranks: any order, at least one.
        gaps: loss at each rank less that of the full head, nats per token.
        within: reach, nats per token.
        width: dimensions that the head sees; None where unknown.
    """
    largest = max(ranks)
    least, at = min(zip(gaps, ranks, strict=True), key=lambda pair: (not math.isfinite(pair[0]), pair[0]))
    where = f"rank {at}" if at == largest else f"rank {at}, the nearest of those up to {largest},"
    problem = f"at {where} the loss is {least:.3g} nats above that of the full head, not within {within:g}"
    if not math.isfinite(least):
        return "no measured rank has a finite loss"
    if width is not None and largest >= width:
        return f"{problem}; {largest} is the full width, so train for longer, or widen --within"
    return f"{problem}; measure larger ranks with --ranks" + (f", up to {width}" if width is not None else "")
