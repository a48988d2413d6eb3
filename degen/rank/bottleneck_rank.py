"""Where a head becomes a bottleneck: the smallest rank whose loss is near that of the full head."""

from __future__ import annotations

import math
from collections.abc import Sequence

from degen.tables import Row

WITHIN = 0.05  # nats
Z_95 = 1.959963984540054  # standard normal quantile at 0.975, for intervals of 95 %


def bottleneck_rank(
    ranks: Sequence[int], gaps: Sequence[float], errors: Sequence[float | None], within: float = WITHIN
) -> Row:
    """Return the bottleneck rank of a curve of loss gaps, and the interval in which noise could put it.

    Formula: min { r : gap(r) < within }, over measured ranks, without interpolation; for the interval's ends
    gap ± z·se stands for gap. A gap that equals `within` but for rounding, 1e-9, is not below it.

    Args:
        ranks: any order.
        gaps: loss at each rank less that of the full head, paired over the same windows, nats per token.
        errors: their standard errors; None for a gap that has none, which then counts as certain.
        within: reach, nats per token.

    Returns:
        The columns `bottleneck_rank`, `bottleneck_rank_low` and `bottleneck_rank_high` of `checkpoints`, the last two
        by the lower and the upper ends of the gaps' 95 % intervals; None where no measured rank is within reach.
    """

    def smallest(z: float) -> int | None:
        reached = [
            rank
            for rank, gap, error in zip(ranks, gaps, errors, strict=True)
            if math.isfinite(gap) and gap + z * (error or 0.0) < within - 1e-9
        ]
        return min(reached, default=None)

    return {
        "bottleneck_rank": smallest(0.0),
        "bottleneck_rank_low": smallest(-Z_95),
        "bottleneck_rank_high": smallest(Z_95),
    }


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
