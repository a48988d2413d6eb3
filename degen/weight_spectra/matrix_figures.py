"""The figures of one weight matrix: its singular values in float64, and its largest entries."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.arrays import Floats
from degen.rank.linear_algebra import triangular_factor
from degen.stats.power_law_tail import power_law_tail
from degen.stats.spectral_figures import (
    above_rounding,
    any_above_zero,
    effective_rank,
    entropy_from_flat,
    squares,
    stable_rank,
)
from degen.tables import Row

if TYPE_CHECKING:
    import torch

QUANTILE = 0.99
TALL, MANY = 3, 1 << 22  # rows to a column, and values, from which a matrix is taken a block of rows at a time
BLOCK_WIDTHS = 4  # rows of a block, in widths of the matrix: more of them take memory, fewer take time


@dataclass(frozen=True)
class RowBlocks:
    """A matrix that comes a block of rows at a time, each read once.

    Attributes:
        shape: (n, m).
        blocks: its rows in order, as they are stored.
    """

    shape: tuple[int, int]
    blocks: Iterator[torch.Tensor]


def block_rows(shape: tuple[int, int]) -> int:
    """Return how many rows of a matrix are read at a time: all, or a few widths of a tall one."""
    rows, columns = shape
    return BLOCK_WIDTHS * columns if is_taken_in_blocks(shape) else rows


def is_taken_in_blocks(shape: tuple[int, int]) -> bool:
    """Return whether a matrix is so tall and large that its rows are taken a block at a time."""
    rows, columns = shape
    return rows >= TALL * BLOCK_WIDTHS * columns and rows * columns >= MANY


def matrix_figures(matrix: RowBlocks) -> Row:
    """Return the figures of a matrix by the names of their columns; all None, with a reason, where it has none.

    Formulas, with σ its n singular values in float64: stable rank Σσ²/σ₁²; singular entropy KL(p‖uniform), p = σ²/Σσ²,
    and the same over ln n; effective rank exp(H(σ/Σσ)); spectral norm σ₁; max|w| over the 0.99 quantile of |w|; the
    exponent α of the tail of the eigenvalues σ².

    Method: W = QR by blocks of rows for a tall matrix, σ(W) = σ(R); the whole matrix in float64 for the others.
    """
    import torch

    held: list[torch.Tensor] = []
    sizes = _Magnitudes(matrix.shape[0] * matrix.shape[1])
    finite = True

    def doubles() -> Iterator[torch.Tensor]:
        nonlocal finite
        for block in matrix.blocks:
            finite = finite and bool(block.sum().isfinite() or block.isfinite().all())  # the sum takes less time
            if finite:
                sizes.add(block)
                yield block.to(torch.float64, copy=True, memory_format=torch.contiguous_format)

    if is_taken_in_blocks(matrix.shape):
        held += [R for R in (triangular_factor(doubles()),) if R is not None]
    else:
        held += list(doubles())
    if not finite:
        return {"reason": "it holds NaN or infinity"}
    return _figures(_singular_values(held), sizes)


def _singular_values(blocks: list[torch.Tensor]) -> Floats:
    """Return the singular values of a matrix that is in one block, descending; the block is overwritten."""
    from scipy.linalg import svdvals

    if not blocks or not min(blocks[0].shape):
        return np.zeros(0)
    matrix = blocks.pop().contiguous().numpy()
    values: Floats = svdvals(matrix.T, overwrite_a=True, check_finite=False)  # in Fortran's order, so without a copy
    return values


def _figures(values: Floats, sizes: _Magnitudes) -> Row:
    if not any_above_zero(values):
        return {"reason": "all of it is zero"}
    entropy, width = entropy_from_flat(squares(values)), math.log(len(values))
    tail = power_law_tail(squares(above_rounding(values)))
    quantile = sizes.quantile(QUANTILE)
    row: Row = {
        "stable_rank": stable_rank(values), "effective_rank": effective_rank(values), "singular_entropy": entropy,
        "singular_entropy_share": entropy / width if width > 0 else None, "spectral_norm": float(values[0]),
        "max_over_q99": sizes.largest() / quantile if quantile > 0 else None,
        "tail_exponent": None if tail is None else tail.exponent, "tail_count": None if tail is None else tail.count,
        "reason": "too few singular values for a tail" if tail is None else tail.reason,
    }  # fmt: skip
    return row


class _Magnitudes:
    """|w| of all entries of a matrix, in the type in which they are stored.

    Args:
        count: how many entries there are.
    """

    def __init__(self, count: int) -> None:
        self._count, self._filled = count, 0
        self._held: Any = None

    def add(self, block: torch.Tensor) -> None:
        """Add the entries of a block."""
        import torch

        if self._held is None:
            self._held = torch.empty(self._count, dtype=block.dtype)
        part = self._held[self._filled : self._filled + block.numel()]
        torch.abs(block.reshape(-1), out=part)
        self._filled += block.numel()

    def largest(self) -> float:
        """Return max|w|."""
        return float(self._held.max())

    def quantile(self, share: float) -> float:
        """Return a quantile of |w|, linear between two entries as NumPy's; what is held is put in another order."""
        import torch

        at = share * (self._count - 1)
        low = int(at)
        kinds = [low, min(low + 1, self._count - 1)]
        if self._held.dtype.itemsize == 2:  # bits of what is not negative are in the order of their values
            ordered = self._held.view(torch.int16).numpy()
            ordered.partition(kinds)
            ends = torch.from_numpy(ordered[kinds].copy()).view(self._held.dtype).double().tolist()
        else:
            ordered = self._held.numpy()
            ordered.partition(kinds)
            ends = [float(value) for value in ordered[kinds]]
        return float(ends[0] + (ends[1] - ends[0]) * (at - low))
