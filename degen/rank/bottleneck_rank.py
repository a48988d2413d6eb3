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
