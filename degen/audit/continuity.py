"""Continuity: how far the weights of a step lie from where training would have them, judged by the steps around it.

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
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import cache

import numpy as np

from degen.arrays import Floats

from .evidence import Facts
from .thresholds import (
    MAX_BITS_OF_A_VALUE,
    MAX_RATIO,
    MAX_VALUE_RATIO,
    MIN_BITS,
    MIN_PAIRS,
    NEIGHBOURS,
    ON_PATH,
    PAIRS_NEEDED,
    ROUNDING,
)


class ShardPath:
    """One weight file (shard) along a series: its values at every step, and the ratios to trusted steps.

    A step `i` is an index into the revisions. It is trusted, suspect, or not judged yet; only trusted steps count as
    neighbours.

    Args:
        shard: name of the weight file.
        revisions: the revisions, in the order of training.

    Attributes:
        contents: for each step the hash of its file; `?` and the revision where no hash is known, None where the
            revision has no such file.
        copy_of: suspect step -> the step whose file it holds; None where that is not known.
    """

    def __init__(self, shard: str, revisions: Sequence[Facts]) -> None:
        self.shard = shard
        self.names = [f.revision for f in revisions]
        self.contents = [f.hashes.get(shard) or (f"?{f.revision}" if shard in f.samples else None) for f in revisions]
        self.copy_of: dict[int, int | None] = {}
        self._trusted: list[int] = []  # ascending
        read = _values_by_content(shard, self.contents, revisions)
        self._values = {i: read[content] for i, content in enumerate(self.contents) if content in read}
        self._distance = cache(lambda i, j: _norm(self._values[i] - self._values[j]))
        self._difference = cache(lambda i, j: _difference(self._values[i], self._values[j]))

    def trust(self, i: int) -> None:
        """Let step `i` count as a neighbour of others, if its values were read."""
        self.copy_of.pop(i, None)
        if i in self._values and i not in self._trusted:
            insort(self._trusted, i)

    def mark_suspect(self, i: int, copy_of: int | None = None) -> None:
        """Let step `i` no longer count as a neighbour; `copy_of` is the step whose file it holds, if known."""
        self.copy_of[i] = copy_of
        if i in self._trusted:
            self._trusted.remove(i)

    def drop_outliers(self, candidates: Collection[int]) -> None:
        """Mark steps among `candidates` suspect, the worst first, until every candidate that is left fits the path.

        Inner steps come before the first and the last ones: these may look wrong only because an inner step, which
        is wrong, resembles them.
        """

        def outliers(measure: Callable[[int], float]) -> list[tuple[float, int]]:
            ratios = [(measure(i), i) for i in self._trusted if i in candidates]
            return [(ratio, i) for ratio, i in ratios if ratio > MAX_RATIO]

        while worst := outliers(self._inner_misfit) or outliers(self._end_misfit):
            self.mark_suspect(max(worst)[1])
        while cleared := [i for i, copied in self.copy_of.items() if copied is None and self._fits(i)]:
            self.trust(cleared[0])  # among wrong neighbours a right step may have looked worst

    def _fits(self, i: int) -> bool:
        return max(self._inner_misfit(i), self._end_misfit(i)) <= MAX_RATIO

    def _inner_misfit(self, i: int) -> float:
        """Return the path ratio of step `i`; where that is unsure, between ON_PATH and MAX_RATIO, the end ratio."""
        ratio = self.path_ratio(i) or 0.0
        return (self.end_ratio(i) or 0.0) if ON_PATH < ratio <= MAX_RATIO else ratio

    def _end_misfit(self, i: int) -> float:
        """Return the end ratio of step `i` if it has neighbours on one side only, else 0."""
        return 0.0 if all(self.neighbours(i)) else self.end_ratio(i) or 0.0

    def distance(self, i: int, j: int) -> float:
        """Return the distance ‖wᵢ − wⱼ‖ between the values of steps `i` and `j`."""
        return self._distance(min(i, j), max(i, j))

    def neighbours(self, i: int) -> tuple[list[int], list[int]]:
        """Return two lists: the nearest trusted steps before step `i` and those after it, each nearest first.

        Both are empty where the values of step `i` were not read.
        """
        if i not in self._values:
            return [], []
        before = self._trusted[: bisect_left(self._trusted, i)]
        after = self._trusted[bisect_right(self._trusted, i) :]
        return before[: -NEIGHBOURS - 1 : -1], after[:NEIGHBOURS]

    def closest(self, i: int) -> tuple[int | None, int | None]:
        """Return two steps by distance of weights: the closest neighbour of step `i`, and the closest other step.

        The other is trusted, no neighbour of `i`, and surely on the path. Each is None where there is no such step.
        """
        neighbours = [n for side in self.neighbours(i) for n in side]
        others = [t for t in self._trusted if t != i and t not in neighbours] if neighbours else []
        near, far = (sorted((self.distance(i, t), t) for t in ts) for ts in (neighbours, others))
        other = next((t for _, t in far if (self.path_ratio(t) or 0.0) <= ON_PATH), None)
        return (near[0][1] if near else None), other

    def path_ratio(self, i: int) -> float | None:
        """Return the path ratio of step `i`: the largest ratio that PAIRS_NEEDED of its pairs of neighbours reach.

        At least MIN_PAIRS pairs must reach it. None where `i` has fewer pairs, or a neighbour that may be wrong itself.
        """
        before, after = self.neighbours(i)
        ratios = sorted((self.pair_ratio(i, a, b) for a in before for b in after), reverse=True)
        sole = [side[0] for side in (before, after) if len(side) == 1]
        if len(ratios) < MIN_PAIRS or not all(self._fits_its_side(i, neighbour) for neighbour in sole):
            return None
        return ratios[max(MIN_PAIRS, math.ceil(len(ratios) * PAIRS_NEEDED)) - 1]

    def end_ratio(self, i: int) -> float | None:
        """Return the end ratio of step `i`: above 1 it is nearer to another part of training than to its neighbours.

        None where it has no neighbour, or there is no other part of training.
        """
        neighbour, other = self.closest(i)
        if neighbour is None or other is None:
            return None
        least = max(ROUNDING * _norm(self._values[other]), math.ulp(0.0))
        ratio = self.distance(i, neighbour) / max(self.distance(i, other), least)
        return self._supported(ratio, i, neighbour)

    def misfit(self, i: int) -> float | None:
        """Return the larger of the path ratio and the end ratio of step `i`; None where it has neither."""
        return max((r for r in (self.path_ratio(i), self.end_ratio(i)) if r is not None), default=None)

    def fit(self, i: int) -> tuple[float, float, float]:
        """Return three numbers by which to choose where weights belong: of several steps, the one with the least tuple.

        The first is the distance to the closer of the two neighbours before and after step `i`. The second is the
        length of the way from one neighbour to the other by step `i`, divided by their distance. The third is the
        difference between two shares from 0 to 1: how far along that way step `i` lies by distance, and by its number.
        """
        before, after = self.neighbours(i)
        near = [self.distance(i, side[0]) for side in (before, after) if side]
        if len(near) < 2:
            return near[0] if near else math.inf, 1.0, 0.0
        (a, *_), (b, *_), way = before, after, sum(near)
        longer = way / apart if (apart := self.distance(a, b)) > 0 else math.inf
        return min(near), longer, abs(near[0] / way - (i - a) / (b - a)) if way > 0 else 0.0

    def pair_ratio(self, i: int, a: int, b: int) -> float:
        """Return ratio(i; a, b), as defined at the head of this file, for step `i` and the steps `a` and `b`."""
        near, nearest = min((self.distance(i, a), a), (self.distance(i, b), b))
        apart = self.distance(a, b)
        return self._supported(near / apart if apart > 0 else math.inf, i, nearest)

    def _fits_its_side(self, i: int, neighbour: int) -> bool:
        """Return whether `neighbour`, the only one of step `i` on its side, can be relied on.

        It can where, of all trusted steps but `i`, the closest to it by weights is also the nearest to it by number.
        """
        rest = [(self.distance(neighbour, t), abs(neighbour - t)) for t in self._trusted if t not in (i, neighbour)]
        return not rest or min(rest)[1] == min(gap for _, gap in rest)

    def _supported(self, ratio: float, i: int, trusted: int) -> float:
        """Return `ratio`, lowered where the difference between two steps is too weak as evidence of a wrong step.

        The difference is weak where rounding to bfloat16 can explain it, or where it lies in few values.

        Args:
            ratio: the ratio to lower.
            i: the step that the ratio is about.
            trusted: the trusted step to take the difference from.
        """
        if ratio <= MAX_RATIO:
            return ratio
        share, values = self._difference(i, trusted)
        lowered = ratio * share if share > 0 else 0.0
        if lowered <= MAX_RATIO:
            return lowered
        bits = values * min(math.log2(lowered), MAX_BITS_OF_A_VALUE)
        return lowered if bits >= MIN_BITS else MAX_RATIO

    def explain(self, i: int) -> str | None:
        """Return why step `i` looks wrong: a phrase that compares its distances to steps near it and elsewhere.

        None where neither the path ratio nor the end ratio exceeds MAX_RATIO, also because there are too few steps.
        """
        names = self.names
        before, after = self.neighbours(i)
        if (self.path_ratio(i) or 0.0) > MAX_RATIO:
            pairs = [(a, b) for a in before for b in after if self.pair_ratio(i, a, b) > MAX_RATIO]
            _, a, b = min((b - a, a, b) for a, b in pairs)
            if self.distance(a, b) == 0:
                return f"far from {names[a]} and {names[b]}, which are equal"
            times = _times(self.pair_ratio(i, a, b))
            return f"{times} as far from {names[a]} and {names[b]} as these are from each other"
        neighbour, other = self.closest(i)
        if neighbour is not None and other is not None and (ratio := self.end_ratio(i) or 0.0) > MAX_RATIO:
            return f"{_times(ratio)} as far from {names[neighbour]} as from {names[other]}"
        return None


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def _values_by_content(
    shard: str, contents: Sequence[str | None], revisions: Sequence[Facts]
) -> dict[str | None, Floats]:
    """Return a dict: content of the shard (its hash, or `?` and the revision) -> the values that were read of it.

    Contents from which an unusual number of values was read are left out: their tensors are others.

    Args:
        shard: name of the weight file.
        contents: the content at each revision; None where the revision has no such file.
        revisions: the revisions.
    """
    pairs = zip(contents, revisions, strict=True)
    read = [(c, np.asarray(f.samples[shard], np.float64).ravel()) for c, f in pairs if shard in f.samples]
    sizes = Counter(values.size for _, values in read if values.size)
    usual = max(sizes, key=lambda size: (sizes[size], size), default=0)
    return {content: values for content, values in reversed(read) if values.size == usual > 0}


def _norm(values: Floats) -> float:
    largest = float(np.abs(values).max(initial=0.0))  # scaled by it, lest garbage overflow
    return largest * float(np.linalg.norm(values / largest)) if largest > 0 else 0.0


def _difference(values: Floats, trusted: Floats) -> tuple[float, float]:
    """Return how strong the difference of a step's values from those of a trusted step is as evidence.

    Args:
        values: of the step.
        trusted: of the trusted step, at the same positions.

    Returns:
        First, the share of the difference's norm that counts: 0 where rounding to bfloat16 can explain the difference;
        and any single value counts no more than `MAX_VALUE_RATIO` times the largest trusted one. Second, the effective
        number of values v in which they differ, (Σ v²)² / Σ v⁴: a third of them where v is normal, 1 for one outlier.
    """
    difference = np.abs(values - trusted)
    whole, largest = _norm(difference), float(np.abs(trusted).max())
    if whole <= ROUNDING * _norm(trusted):
        return 0.0, 0.0
    capped = np.minimum(difference, MAX_VALUE_RATIO * largest or math.inf)
    squares = np.square(capped / capped.max())
    return _norm(capped) / whole, float(squares.sum()) ** 2 / float(np.square(squares).sum())
