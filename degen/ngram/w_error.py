"""W-error of the best approximation of each dimension, and the dimension at which it falls to a level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from degen.arrays import Floats

from .matrix import Parts

LEVEL_SLACK = 1e-12  # a W-error that exceeds a level by rounding alone has reached it
DENSE_ENTRIES = 1_000_000  # of a block whose dense SVD is taken
SMALL_SHARE = 1e-8  # of ‖W‖_F²: where the small eigenvalues add up to less, they are not good enough as they are


@dataclass(frozen=True)
class WErrorCurve:
    """W-error(d) = sqrt(Σ_{i>d} σᵢ²) / ‖W‖_F.

    Attributes:
        w_error: by d, from 0 (where it is 1) on; 0 for larger d.
        low: lower ends of the interval where the curve is estimated; None where it is exact.
        high: the upper ends.
    """

    w_error: Floats
    low: Floats | None = None
    high: Floats | None = None

    def at(self, dimension: int) -> tuple[float, float | None, float | None]:
        """Return the W-error at a dimension, with the ends of its interval; None for both where it is exact."""
        value, low, high = (
            None if c is None else float(c[dimension]) if dimension < len(c) else 0.0
            for c in (self.w_error, self.low, self.high)
        )  # fmt: skip
        assert value is not None
        return value, low, high

    def dimension(self, level: float) -> tuple[int, int | None, int | None]:
        """Return the smallest d with W-error(d) ≤ level, with the ends of its interval; None for both if exact."""
        value, low, high = (
            None if c is None else int(np.argmax(np.append(c, 0.0) <= level + LEVEL_SLACK))
            for c in (self.w_error, self.low, self.high)
        )
        assert value is not None
        return value, low, high


def curve_of_singular_values(singular_values: Floats) -> WErrorCurve:
    """Return the curve of singular values in any order.

    Raises:
        ValueError: none is above 0.
    """
    ascending = np.sort(np.asarray(singular_values, dtype=np.float64) ** 2)
    tails = np.concatenate([[0.0], np.cumsum(ascending)])[::-1]  # the smallest first, so that none is lost in a sum
    if not tails[0] > 0:
        raise ValueError("a matrix of zeros has no W-error")
    return WErrorCurve(np.sqrt(tails / tails[0]))


def exact_curve(parts: Parts) -> WErrorCurve:
    """Return the curve of a matrix from all its singular values, in float64."""
    return curve_of_singular_values(np.concatenate([parts.singular_values, *map(singular_values, parts.blocks)]))


def singular_values(block: Any) -> Floats:
    """Return the singular values of a sparse block, to about 1e-12 of the largest.

    Those of a small block come from its dense SVD. Those of a large one are the roots of the eigenvalues of W·Wᵀ (or
    Wᵀ·W, if that is smaller), which takes a fraction of the time and memory. Such roots lose half of their digits where
    they are small; the small ones come from the SVD of W within the eigenvectors of the small eigenvalues instead.
    """
    from scipy.linalg import eigh, eigvalsh, svdvals

    if block.shape[0] * block.shape[1] <= DENSE_ENTRIES:
        values: Floats = svdvals(block.toarray(), overwrite_a=True, check_finite=False)
        return values
    short = (block if block.shape[0] <= block.shape[1] else block.T).tocsr()
    squares = np.maximum(eigvalsh(_gram(short), overwrite_a=True, check_finite=False), 0.0)
    small = int(np.searchsorted(np.cumsum(squares), SMALL_SHARE * squares.sum(), side="right"))
    if small == 0:
        values = np.sqrt(squares)
        return values
    vectors = eigh(_gram(short), subset_by_index=[0, small - 1], overwrite_a=True, check_finite=False)[1]
    within = svdvals(short.T @ vectors, overwrite_a=True, check_finite=False)
    return np.concatenate([within, np.sqrt(squares[small:])])


def _gram(short: Any) -> Floats:
    dense: Floats = (short @ short.T).toarray(order="F")
    return dense
