"""Continuity: which steps lie on the path that training took, shard by shard.

Training moves along a path, so a step lies no farther from its neighbours than these from each other.
With wᵢ the values read at a step, w_a and w_b those of believed steps before and after it,

    detour(i; a, b) = min(‖wᵢ − w_a‖, ‖wᵢ − w_b‖) / ‖w_a − w_b‖.

A straight path gives at most ½ and a random walk at most √½, both halfway: uneven steps only lower it. Independent
draws about a mean give 1, the most that a path comes to which goes nowhere. THRESHOLD is 2: to reach it, a genuine
step would have to be √7 times as noisy as both its neighbours.

A neighbour may be wrong itself; then it can hide a wrong step or blacken an innocent one. So up to WINDOW believed
steps on either side make pairs, four ninths of the pairs must accuse, the worst step goes first, and the others are
judged anew without it. With three on either side that can find three wrong steps in a row that resemble each other,
and clears an innocent step between two.

The first and the last step have neighbours on one side only, and a jump there may be training. But training does not
come back: with N the neighbours and T all other believed steps, weights are out of place where

    displacement(i) = min over n in N of ‖wᵢ − w_n‖ / min over t in T of ‖wᵢ − w_t‖

is above THRESHOLD, that is, where they lie much nearer to a distant part of training than to their own. That also
decides about inner steps whose detour is between ON_PATH and THRESHOLD, and, with the detour, which holder of equal
weights is the genuine one.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Collection, Sequence

import numpy as np

from .evidence import Facts, Floats

THRESHOLD = 2.0
ON_PATH = 1.0  # the most that a genuine step comes to; between the two it takes both figures to accuse
WINDOW = 3
ROUNDING = 2.0**-8  # what bfloat16 may change of a value, relative to it: a smaller distance can be mere storage
# Where few values carry a difference, chance alone reaches any ratio. They are counted as (Σ v²)² / Σ v⁴, a third of
# the places where v is normal: 16 are needed at a ratio of 2, 8 from a ratio of 4 on, the chance being about ratio^-n.
LEAST_VALUES = 16


class ShardPath:
    """One shard along the series: what stands at each step, and which steps are believed in it.

    A content is a hash, or the revision where no hash is known. Values belong to contents: of copies one is enough, and
    their distance is 0.
    """

    def __init__(self, shard: str, along: Sequence[Facts]) -> None:
        self.shard = shard
        self.copy_of: dict[int, int | None] = {}  # the accused, and whose shard they hold where that is known
        self.contents = [f.hashes.get(shard) or (f"?{f.revision}" if shard in f.samples else None) for f in along]
        self._names = [f.revision for f in along]
        self._values = _values(shard, self.contents, along)
        self._believed: list[int] = []  # ascending
        self._distances: dict[tuple[str | None, str | None], float] = {}
        self._bearing: dict[tuple[str | None, str | None], tuple[float, float]] = {}

    def believe(self, i: int) -> None:
        """Let a step count as a neighbour, if it was read."""
        self.copy_of.pop(i, None)
        if self._is_read(i) and i not in self._believed:
            insort(self._believed, i)

    def accuse(self, i: int, copy_of: int | None = None) -> None:
        """Let a step no longer count."""
        self.copy_of[i] = copy_of
        if i in self._believed:
            self._believed.remove(i)

    def weed(self, suspects: Collection[int]) -> None:
        """Accuse the worst of the suspects until all are in place.

        Inner steps come before the ends: what makes an end look displaced may be an inner step that resembles it.
        """

        def over(measure: Callable[[int], float]) -> list[tuple[float, int]]:
            figures = [(measure(i), i) for i in self._believed if i in suspects]
            return [(figure, i) for figure, i in figures if figure > THRESHOLD]

        while found := over(self._inner_misfit) or over(self._end_misfit):
            self.accuse(max(found)[1])
        while cleared := [i for i, copied in self.copy_of.items() if copied is None and self._is_in_place(i)]:
            self.believe(cleared[0])  # among wrong neighbours an innocent may have looked worst

    def _is_in_place(self, i: int) -> bool:
        return max(self._inner_misfit(i), self._end_misfit(i)) <= THRESHOLD

    def _inner_misfit(self, i: int) -> float:
        detour = self.detour(i) or 0.0
        return (self.displacement(i) or 0.0) if ON_PATH < detour <= THRESHOLD else detour

    def _end_misfit(self, i: int) -> float:
        return 0.0 if all(self._around(i)) else self.displacement(i) or 0.0

    def detour(self, i: int) -> float | None:
        """What four ninths of the pairs of neighbours reach, two of them at least; None where there are too few."""
        before, after = self._around(i)
        ratios = sorted((self._ratio(i, a, b) for a in before for b in after), reverse=True)
        sole = [side[0] for side in (before, after) if len(side) == 1]
        if len(ratios) < 2 or not all(self._is_in_order(i, witness) for witness in sole):
            return None
        return ratios[max(2, math.ceil(len(ratios) * 4 / 9)) - 1]

    def displacement(self, i: int) -> float | None:
        """How much nearer than its neighbours another part of training lies; None where there is no other."""
        neighbour, other = self._closest(i)
        if neighbour is None or other is None:
            return None
        least = max(ROUNDING * _norm(self._values[self.contents[other]]), math.ulp(0.0))
        ratio = self.distance(i, neighbour) / max(self.distance(i, other), least)
        return self._at_most(ratio, i, neighbour)

    def doubt(self, i: int) -> float | None:
        """The larger of detour and displacement; None where neither can be told."""
        return max((d for d in (self.detour(i), self.displacement(i)) if d is not None), default=None)

    def fit(self, i: int) -> tuple[float, float, float]:
        """What is least where weights belong.

        The distance to the closer neighbour; how much longer the way from neighbour to neighbour is by these weights;
        and how ill the place divides that way.
        """
        before, after = self._around(i)
        near = [self.distance(i, side[0]) for side in (before, after) if side]
        if len(near) < 2:
            return near[0] if near else math.inf, 1.0, 0.0
        (a, *_), (b, *_), way = before, after, sum(near)
        longer = way / apart if (apart := self.distance(a, b)) > 0 else math.inf
        return min(near), longer, abs(near[0] / way - (i - a) / (b - a)) if way > 0 else 0.0

    def explain(self, i: int) -> str | None:
        """How far a step is out of place, in words; None where it is not."""
        before, after = self._around(i)
        if (self.detour(i) or 0.0) > THRESHOLD:
            _, a, b = min((b - a, a, b) for a in before for b in after if self._ratio(i, a, b) > THRESHOLD)
            if self.distance(a, b) == 0:
                return f"far from {self._names[a]} and {self._names[b]}, which agree"
            times = _times(self._ratio(i, a, b))
            return f"{times} as far from {self._names[a]} and {self._names[b]} as these are from each other"
        neighbour, other = self._closest(i)
        if neighbour is not None and other is not None and (ratio := self.displacement(i) or 0.0) > THRESHOLD:
            return f"{_times(ratio)} as far from {self._names[neighbour]} as from {self._names[other]}"
        return None

    def distance(self, i: int, j: int) -> float:
        """‖wᵢ − wⱼ‖."""
        pair = self.contents[i], self.contents[j]
        if pair not in self._distances:
            distance = _norm(self._values[pair[0]] - self._values[pair[1]])
            self._distances[pair] = self._distances[pair[::-1]] = distance
        return self._distances[pair]

    def _is_read(self, i: int) -> bool:
        return self.contents[i] in self._values

    def _around(self, i: int) -> tuple[list[int], list[int]]:
        """The nearest believed steps before and after, nearest first; none where the step itself was not read."""
        if not self._is_read(i):
            return [], []
        before = self._believed[: bisect_left(self._believed, i)]
        after = self._believed[bisect_right(self._believed, i) :]
        return before[: -WINDOW - 1 : -1], after[:WINDOW]

    def _closest(self, i: int) -> tuple[int | None, int | None]:
        """The closest of the neighbours, and the closest of all other believed steps that are in place for certain."""
        neighbours = [n for side in self._around(i) for n in side]
        others = [t for t in self._believed if t != i and t not in neighbours] if neighbours else []
        near, far = (sorted((self.distance(i, t), t) for t in ts) for ts in (neighbours, others))
        other = next((t for _, t in far if (self.detour(t) or 0.0) <= ON_PATH), None)
        return (near[0][1] if near else None), other

    def _is_in_order(self, i: int, end: int) -> bool:
        """Whether the only neighbour on a side is closest to the next beyond i, else it may be the wrong one itself."""
        rest = [(self.distance(end, t), abs(end - t)) for t in self._believed if t not in (i, end)]
        return not rest or min(rest)[1] == min(gap for _, gap in rest)

    def _ratio(self, i: int, a: int, b: int) -> float:
        near, nearest = min((self.distance(i, a), a), (self.distance(i, b), b))
        apart = self.distance(a, b)
        return self._at_most(near / apart if apart > 0 else math.inf, i, nearest)

    def _at_most(self, ratio: float, i: int, j: int) -> float:
        """A ratio, lowered to what the difference of a step from a believed one can bear."""
        if ratio <= THRESHOLD:
            return ratio
        pair = self.contents[i], self.contents[j]
        if pair not in self._bearing:
            self._bearing[pair] = _bearing(self._values[pair[0]], self._values[pair[1]])
        share, carriers = self._bearing[pair]
        lowered = ratio * share if share > 0 else 0.0
        if lowered <= THRESHOLD or carriers * min(math.log2(lowered), 2.0) >= LEAST_VALUES:
            return lowered
        return THRESHOLD


def _values(shard: str, contents: Sequence[str | None], along: Sequence[Facts]) -> dict[str | None, Floats]:
    """The values of every content, of those of the usual size: others are laid out in another way."""
    pairs = zip(contents, along, strict=True)
    read = [(c, np.asarray(f.samples[shard], np.float64).ravel()) for c, f in pairs if shard in f.samples]
    sizes = Counter(values.size for _, values in read if values.size)
    usual = max(sizes, key=lambda size: (sizes[size], size), default=0)
    return {content: values for content, values in reversed(read) if values.size == usual > 0}


def _norm(values: Floats) -> float:
    largest = float(np.abs(values).max(initial=0.0))  # scaled by it, lest garbage overflow
    return largest * float(np.linalg.norm(values / largest)) if largest > 0 else 0.0


def _bearing(values: Floats, believed: Floats) -> tuple[float, float]:
    """What a difference can bear: the share of its norm that counts, and how many values carry it.

    None counts of what may be storage, and of a single value no more than four times the largest believed: an outlier
    says little, while garbage remains far off in most values.
    """
    difference = np.abs(values - believed)
    whole, largest = _norm(difference), float(np.abs(believed).max())
    if whole <= ROUNDING * _norm(believed):
        return 0.0, 0.0
    capped = np.minimum(difference, 4 * largest or math.inf)
    squares = np.square(capped / capped.max())
    return _norm(capped) / whole, float(squares.sum()) ** 2 / float(np.square(squares).sum())


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.1f} times"
