"""Means of neighbouring checkpoints, where a curve has more of them than a test can use."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from degen.arrays import Floats, Ints

from .noise import straying

MOST_CHECKPOINTS = 64  # that are tested one by one


class Groups(NamedTuple):
    """Groups of neighbouring checkpoints.

    Attributes:
        first: step of the first checkpoint of each group.
        last: step of its last.
        values: the mean of its values.
        size: checkpoints of a group; the first group may have fewer.
    """

    first: Ints
    last: Ints
    values: Floats
    size: int


def grouped(steps: Ints, values: Floats) -> Groups:
    """Return means of neighbouring checkpoints, at most 64 of them; each checkpoint for itself where there are no more.

    Values that stray alone from their neighbours are left out of a mean of several.

    Args:
        steps: ascending, n of them.
        values: at each, all finite.
    """
    n = len(values)
    size = -(-n // MOST_CHECKPOINTS)
    if size == 1:
        return Groups(steps, steps, values, 1)
    starts = np.append(0, np.arange(n % size or size, n, size))  # the last group ends with the last checkpoint
    kept = (~straying(steps.astype(np.float64), values)).astype(np.float64)
    kept[np.add.reduceat(kept, starts).repeat(np.diff(np.append(starts, n))) == 0] = 1.0  # a group of strays alone
    means = np.add.reduceat(values * kept, starts) / np.add.reduceat(kept, starts)
    return Groups(steps[starts], steps[np.append(starts[1:], n) - 1], means, size)
