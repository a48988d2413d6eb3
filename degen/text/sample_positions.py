"""A bounded number of positions of a sample, spread over its windows: the same for every checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from degen.arrays import Ints

from .windows import Sample


@dataclass(frozen=True)
class SamplePositions:
    """Positions of some windows, in the order of the windows.

    Attributes:
        windows: the index of each one's window in the sample, n, ascending.
        tokens: the index of each one's token in its window, n.
    """

    windows: Ints
    tokens: Ints

    def __len__(self) -> int:
        return len(self.windows)

    def in_rows(self, windows: Ints, first: int = 0) -> tuple[Ints, Ints, Ints]:
        """Return where the positions are in a batch.

        Args:
            windows: the index of the window of each row of the batch.
            first: position in its window of the batch's first column; those before it are not in the batch.

        Returns:
            The row, the column and the number among all positions of each that is there.
        """
        starts, ends = (np.searchsorted(self.windows, windows, side) for side in ("left", "right"))
        rows = np.repeat(np.arange(len(windows)), ends - starts)
        numbers = np.concatenate([np.arange(a, b) for a, b in zip(starts, ends, strict=True)]).astype(np.int64)
        there = self.tokens[numbers] >= first
        rows, numbers = rows[there], numbers[there]
        return rows, self.tokens[numbers] - first, numbers


def draw_positions(sample: Sample, count: int, seed: int = 0) -> SamplePositions:
    """Return positions of a sample drawn at random, each with a next token: all of them where there are no more.

    Args:
        sample: the windows.
        count: how many.
        seed: of the draw.
    """
    lengths = np.asarray([max(len(w.tokens) - 1, 0) for w in sample.windows], dtype=np.int64)
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    drawn = np.arange(total)
    if count < total:
        drawn = np.sort(np.random.default_rng(seed).choice(total, count, replace=False))
    windows = np.searchsorted(ends, drawn, side="right")
    return SamplePositions(windows, drawn - (ends - lengths)[windows])
