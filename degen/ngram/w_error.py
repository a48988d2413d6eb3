"""W-error of the best approximation of each dimension, and the dimension at which it falls to a level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from degen.arrays import Floats

from .matrix import Parts

LEVEL_SLACK = 1e-12  # a W-error that exceeds a level by rounding alone has reached it


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
    """Return the singular values of a sparse block.

    Not by the eigenvalues of W·Wᵀ, which would lose half of the digits of the small ones. The longer side is folded
    into a triangle piece by piece, which changes no singular value and keeps memory at two squares of the shorter one.
    """
    from scipy.linalg import qr, svdvals

    tall = block if block.shape[0] >= block.shape[1] else block.T
    tall, side = tall.tocsr(), tall.shape[1]
    if tall.shape[0] <= 2 * side:
        dense = tall.toarray()
    else:
        dense = np.empty((0, side))
        for start in range(0, tall.shape[0], side):
            piece = np.concatenate([dense, tall[start : start + side].toarray()])
            dense = qr(piece, mode="r", overwrite_a=True, check_finite=False)[0][:side]
    values: Floats = svdvals(dense, overwrite_a=True, check_finite=False)
    return values
