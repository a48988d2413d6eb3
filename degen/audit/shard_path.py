"""The verdicts drawn about one shard along a series: which steps are trusted, which are suspect, and why in words."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Collection, Sequence

from .continuity import Continuity
from .evidence import Facts
from .shard_values import ShardValues
from .thresholds import MAX_RATIO, ON_PATH


class ShardPath:
    """One shard along the series, and which of its steps are trusted.

    A step is trusted, suspect, or neither as long as nobody judged it.

    Args:
        shard: name of the weight file.
        along: the revisions, in order. A step is an index into them.

    Attributes:
        values: what stands at each step.
        continuity: how far each step lies from where the trusted ones would have it.
        copy_of: the suspect steps, and whose shard they hold where that is known.
    """

    def __init__(self, shard: str, along: Sequence[Facts]) -> None:
        self.shard = shard
        self.values = ShardValues(shard, along)
        self.copy_of: dict[int, int | None] = {}
        self._trusted: list[int] = []  # ascending
        self.continuity = Continuity(self.values, self._trusted)

    @property
    def contents(self) -> Sequence[str | None]:
        """What stands at each step, see `ShardValues`."""
        return self.values.contents

    def trust(self, i: int) -> None:
        """Let a step count as a neighbour, if it was read."""
        self.copy_of.pop(i, None)
        if self.values.is_read(i) and i not in self._trusted:
            insort(self._trusted, i)

    def mark_suspect(self, i: int, copy_of: int | None = None) -> None:
        """Let a step no longer count as a neighbour."""
        self.copy_of[i] = copy_of
        if i in self._trusted:
            self._trusted.remove(i)

    def drop_outliers(self, candidates: Collection[int]) -> None:
        """Mark the worst of the candidates suspect, one at a time, until all the others are in place.

        Inner steps come before the ends: what makes an end look out of place may be an inner step that resembles it.
        """

        def above(measure: Callable[[int], float]) -> list[tuple[float, int]]:
            ratios = [(measure(i), i) for i in self._trusted if i in candidates]
            return [(ratio, i) for ratio, i in ratios if ratio > MAX_RATIO]

        while outliers := above(self._inner_misfit) or above(self._end_misfit):
            self.mark_suspect(max(outliers)[1])
        while cleared := [i for i, copied in self.copy_of.items() if copied is None and self._is_in_place(i)]:
            self.trust(cleared[0])  # among wrong neighbours a right step may have looked worst

    def _is_in_place(self, i: int) -> bool:
        return max(self._inner_misfit(i), self._end_misfit(i)) <= MAX_RATIO

    def _inner_misfit(self, i: int) -> float:
        """Return the path ratio; between ON_PATH and MAX_RATIO, where it is not sure, the end ratio."""
        ratio = self.continuity.path_ratio(i) or 0.0
        return (self.continuity.end_ratio(i) or 0.0) if ON_PATH < ratio <= MAX_RATIO else ratio

    def _end_misfit(self, i: int) -> float:
        """Return the end ratio of a step with neighbours on one side only; 0 of any other."""
        return 0.0 if all(self.continuity.neighbours(i)) else self.continuity.end_ratio(i) or 0.0

    def explain(self, i: int) -> str | None:
        """Return how far a step is out of place, in words; None where it is not."""
        names, continuity, distance = self.values.names, self.continuity, self.values.distance
        before, after = continuity.neighbours(i)
        if (continuity.path_ratio(i) or 0.0) > MAX_RATIO:
            pairs = [(a, b) for a in before for b in after if continuity.pair_ratio(i, a, b) > MAX_RATIO]
            _, a, b = min((b - a, a, b) for a, b in pairs)
            if distance(a, b) == 0:
                return f"far from {names[a]} and {names[b]}, which agree"
            times = _times(continuity.pair_ratio(i, a, b))
            return f"{times} as far from {names[a]} and {names[b]} as these are from each other"
        neighbour, other = continuity.closest(i)
        if neighbour is not None and other is not None and (ratio := continuity.end_ratio(i) or 0.0) > MAX_RATIO:
            return f"{_times(ratio)} as far from {names[neighbour]} as from {names[other]}"
        return None


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.1f} times"
