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
    """Return the smallest rank whose loss is near that of the full head, and an interval for it.

    Formula: min { r : gap(r) < within }, over measured ranks, without interpolation. For the ends of the interval,
    gap − z·se and gap + z·se replace the gap. A gap equal to `within`, up to rounding of 1e-9, is not below.

    Args:
        ranks: the measured ranks, in any order.
        gaps: the loss at each rank minus that of the full head on the same windows, nats per token.
        errors: the standard error of each gap; None where it is unknown: then the gap counts as certain.
        within: a gap below this is near, nats per token.

    Returns:
        The columns `bottleneck_rank`, `bottleneck_rank_low` and `bottleneck_rank_high` of table `checkpoints`, the last
        two from the lower and the upper ends of the gaps' 95 % intervals. Each is None where no gap is below `within`.
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
