"""Where a head becomes a bottleneck: the smallest rank whose loss is near that of the full head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WITHIN = 0.05  # nats
CONFIDENCE = 0.95
_Z = 1.959963984540054  # standard normal quantile at (1 + CONFIDENCE) / 2


@dataclass(frozen=True)
class BottleneckRank:
    """The smallest measured rank within reach of the full head, and where noise could put it.

    Attributes:
        rank: None where no measured rank is within reach.
        low: the same by the lower ends of the gaps' 95 % intervals.
        high: by their upper ends.
    """

    rank: int | None
    low: int | None
    high: int | None


def bottleneck_rank(
    ranks: Sequence[int], gaps: Sequence[float], errors: Sequence[float | None], within: float = WITHIN
) -> BottleneckRank:
    """Return the bottleneck rank of a curve of loss gaps.

    Formula: min { r : gap(r) < within }, over measured ranks, without interpolation; for the interval's ends gap ± z·se
    stands for gap. A gap that equals `within` but for rounding, 1e-9, is not below it.

    Args:
        ranks: any order.
        gaps: loss at each rank less that of the full head, paired over the same windows, nats per token.
        errors: their standard errors; None for a gap that has none, which then counts as certain.
        within: reach, nats per token.
    """

    def smallest(sign: float) -> int | None:
        reached = [
            rank
            for rank, gap, error in zip(ranks, gaps, errors, strict=True)
            if math.isfinite(gap) and gap + sign * _Z * (error or 0.0) < within - 1e-9
        ]
        return min(reached, default=None)

    return BottleneckRank(smallest(0.0), smallest(-1.0), smallest(1.0))
