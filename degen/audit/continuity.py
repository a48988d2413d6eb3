"""Continuity: how far a step lies from where training would have it, judged by the trusted steps around it.

Training moves along a path, so a step lies no farther from its neighbours than these from each other.
With wᵢ the values read at a step, w_a and w_b those of trusted steps before and after it,

    ratio(i; a, b) = min(‖wᵢ − w_a‖, ‖wᵢ − w_b‖) / ‖w_a − w_b‖.

A straight path gives at most ½ and a random walk at most √½, both halfway: uneven steps only lower it. Independent
draws about a mean give 1. A neighbour may be wrong itself; then it can hide a wrong step or make a right one look
wrong. So up to NEIGHBOURS trusted steps on either side make pairs, and the path ratio of a step is what PAIRS_NEEDED of
the pairs reach.

The first and the last step have neighbours on one side only, and a jump there may be training. But training does not
come back: with N the neighbours and T all other trusted steps,

    end ratio(i) = min over n in N of ‖wᵢ − w_n‖ / min over t in T of ‖wᵢ − w_t‖

is large where weights lie much nearer to a distant part of training than to their own. That also decides about inner
steps whose path ratio is between ON_PATH and MAX_RATIO, and, with the path ratio, which holder of equal weights is the
genuine one.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from .shard_values import ShardValues
from .thresholds import (
    MAX_BITS_OF_A_VALUE,
    MAX_RATIO,
    MIN_BITS,
    MIN_PAIRS,
    NEIGHBOURS,
    ON_PATH,
    PAIRS_NEEDED,
    ROUNDING,
)


class Continuity:
    """The ratios of every step of a shard, as the trusted steps have it.

    Args:
        values: what stands at each step.
        trusted: the steps that count as neighbours, ascending; read anew at every call.
    """

    def __init__(self, values: ShardValues, trusted: Sequence[int]) -> None:
        self._values = values
        self._trusted = trusted

    def neighbours(self, i: int) -> tuple[list[int], list[int]]:
        """Return the nearest trusted steps before and after, nearest first; none where the step itself was not read."""
        if not self._values.is_read(i):
            return [], []
        before = self._trusted[: bisect_left(self._trusted, i)]
        after = self._trusted[bisect_right(self._trusted, i) :]
        return list(before[: -NEIGHBOURS - 1 : -1]), list(after[:NEIGHBOURS])

    def closest(self, i: int) -> tuple[int | None, int | None]:
        """Return the closest neighbour, and the closest of the other trusted steps that are surely on the path."""
        neighbours = [n for side in self.neighbours(i) for n in side]
        others = [t for t in self._trusted if t != i and t not in neighbours] if neighbours else []
        near, far = (sorted((self._values.distance(i, t), t) for t in ts) for ts in (neighbours, others))
        other = next((t for _, t in far if (self.path_ratio(t) or 0.0) <= ON_PATH), None)
        return (near[0][1] if near else None), other

    def path_ratio(self, i: int) -> float | None:
        """Return what PAIRS_NEEDED of the pairs reach, MIN_PAIRS at least; None where there are too few."""
        before, after = self.neighbours(i)
        ratios = sorted((self.pair_ratio(i, a, b) for a in before for b in after), reverse=True)
        sole = [side[0] for side in (before, after) if len(side) == 1]
        if len(ratios) < MIN_PAIRS or not all(self._fits_its_side(i, neighbour) for neighbour in sole):
            return None
        return ratios[max(MIN_PAIRS, math.ceil(len(ratios) * PAIRS_NEEDED)) - 1]

    def end_ratio(self, i: int) -> float | None:
        """Return how much nearer than its neighbours another part of training lies; None where there is no other."""
        neighbour, other = self.closest(i)
        if neighbour is None or other is None:
            return None
        least = max(ROUNDING * self._values.norm(other), math.ulp(0.0))
        ratio = self._values.distance(i, neighbour) / max(self._values.distance(i, other), least)
        return self._supported(ratio, i, neighbour)

    def misfit(self, i: int) -> float | None:
        """Return the larger of path ratio and end ratio; None where there is neither."""
        return max((r for r in (self.path_ratio(i), self.end_ratio(i)) if r is not None), default=None)

    def fit(self, i: int) -> tuple[float, float, float]:
        """Return three numbers that are least, compared in order, where weights belong.

        The distance to the closer neighbour; how much longer the way from neighbour to neighbour is by these weights;
        and how far the step's position between the neighbours is from the share of the way gone.
        """
        before, after = self.neighbours(i)
        near = [self._values.distance(i, side[0]) for side in (before, after) if side]
        if len(near) < 2:
            return near[0] if near else math.inf, 1.0, 0.0
        (a, *_), (b, *_), way = before, after, sum(near)
        longer = way / apart if (apart := self._values.distance(a, b)) > 0 else math.inf
        return min(near), longer, abs(near[0] / way - (i - a) / (b - a)) if way > 0 else 0.0

    def pair_ratio(self, i: int, a: int, b: int) -> float:
        """Return ratio(i; a, b), see the head of this file."""
        near, nearest = min((self._values.distance(i, a), a), (self._values.distance(i, b), b))
        apart = self._values.distance(a, b)
        return self._supported(near / apart if apart > 0 else math.inf, i, nearest)

    def _fits_its_side(self, i: int, neighbour: int) -> bool:
        """Return whether the only neighbour on a side is closest to the next beyond i; else it may be wrong itself."""
        rest = [
            (self._values.distance(neighbour, t), abs(neighbour - t)) for t in self._trusted if t not in (i, neighbour)
        ]
        return not rest or min(rest)[1] == min(gap for _, gap in rest)

    def _supported(self, ratio: float, i: int, trusted: int) -> float:
        """Return a ratio, lowered to what the difference of a step from a trusted one can carry."""
        if ratio <= MAX_RATIO:
            return ratio
        difference = self._values.difference(i, trusted)
        lowered = ratio * difference.share if difference.share > 0 else 0.0
        if lowered <= MAX_RATIO:
            return lowered
        bits = difference.values * min(math.log2(lowered), MAX_BITS_OF_A_VALUE)
        return lowered if bits >= MIN_BITS else MAX_RATIO
