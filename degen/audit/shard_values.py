"""The geometry of one shard along a series: which weights stand at each step, and how far they are from each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .evidence import Facts, Floats
from .thresholds import MAX_VALUE_RATIO, ROUNDING


@dataclass(frozen=True)
class Difference:
    """How much the difference of two steps can carry.

    Attributes:
        share: of its norm that counts: 0 where storage in bfloat16 can explain it; a single value counts no more than
            `MAX_VALUE_RATIO` times the largest trusted one.
        values: how many values carry it, (Σ v²)² / Σ v⁴: a third of them where v is normal, 1 for a single outlier.
    """

    share: float
    values: float


class ShardValues:
    """What stands in one shard at each step of a series.

    A content is a hash, or the revision where no hash is known. Values belong to contents: of copies one is enough, and
    their distance is 0.

    Args:
        shard: name of the weight file.
        along: the revisions, in order. A step is an index into them.
    """

    def __init__(self, shard: str, along: Sequence[Facts]) -> None:
        self.shard = shard
        self.names = [f.revision for f in along]
        self.contents = [f.hashes.get(shard) or (f"?{f.revision}" if shard in f.samples else None) for f in along]
        self._values = _values_by_content(shard, self.contents, along)
        self._distances: dict[tuple[str | None, str | None], float] = {}
        self._differences: dict[tuple[str | None, str | None], Difference] = {}

    def is_read(self, i: int) -> bool:
        """Return whether values of a step are known, in the usual layout."""
        return self.contents[i] in self._values

    def norm(self, i: int) -> float:
        """Return ‖wᵢ‖."""
        return _norm(self._values[self.contents[i]])

    def distance(self, i: int, j: int) -> float:
        """Return ‖wᵢ − wⱼ‖."""
        pair = self.contents[i], self.contents[j]
        if pair not in self._distances:
            distance = _norm(self._values[pair[0]] - self._values[pair[1]])
            self._distances[pair] = self._distances[pair[::-1]] = distance
        return self._distances[pair]

    def difference(self, i: int, trusted: int) -> Difference:
        """Return how much the difference of a step from a trusted one can carry."""
        pair = self.contents[i], self.contents[trusted]
        if pair not in self._differences:
            self._differences[pair] = _difference(self._values[pair[0]], self._values[pair[1]])
        return self._differences[pair]


def _values_by_content(shard: str, contents: Sequence[str | None], along: Sequence[Facts]) -> dict[str | None, Floats]:
    """Return the values of every content, of those of the usual size: others are laid out in another way."""
    pairs = zip(contents, along, strict=True)
    read = [(c, np.asarray(f.samples[shard], np.float64).ravel()) for c, f in pairs if shard in f.samples]
    sizes = Counter(values.size for _, values in read if values.size)
    usual = max(sizes, key=lambda size: (sizes[size], size), default=0)
    return {content: values for content, values in reversed(read) if values.size == usual > 0}


def _norm(values: Floats) -> float:
    largest = float(np.abs(values).max(initial=0.0))  # scaled by it, lest garbage overflow
    return largest * float(np.linalg.norm(values / largest)) if largest > 0 else 0.0


def _difference(values: Floats, trusted: Floats) -> Difference:
    difference = np.abs(values - trusted)
    whole, largest = _norm(difference), float(np.abs(trusted).max())
    if whole <= ROUNDING * _norm(trusted):
        return Difference(0.0, 0.0)
    capped = np.minimum(difference, MAX_VALUE_RATIO * largest or math.inf)
    squares = np.square(capped / capped.max())
    return Difference(_norm(capped) / whole, float(squares.sum()) ** 2 / float(np.square(squares).sum()))
