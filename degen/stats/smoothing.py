"""Smoothing splines whose smoothness is chosen by generalised cross-validation."""

from __future__ import annotations

import numpy as np

from degen.arrays import Floats

GCV_PENALTY = 1.4  # how much dearer a degree of freedom is in the choice of λ than it is by itself
_STEPS = 121  # values of λ that are tried, over the whole range that makes a difference


class Smoother:
    """The smoothing spline over m points x, for any values y there.

    Formula: ŷ = (I + λK)⁻¹y, which minimises Σ(y − f)² + λ∫f″² over all f; K = QR⁻¹Q' of the natural spline.
    λ minimises Σ(y − ŷ)²/(m − 1.4·tr(I + λK)⁻¹)² over the values themselves: those without noise
    are left as they are.

    Args:
        x: ascending, shape (m,), m ≥ 4.

    Source: Reinsch 1967, Smoothing by spline functions; Craven and Wahba 1979 for λ; Kim and Gu 2004 for 1.4, without
        which noise is taken for the curve now and then.
    """

    def __init__(self, x: Floats) -> None:
        gaps = np.diff(x)
        m, inner = len(x), np.arange(len(x) - 2)
        Q = np.zeros((m, m - 2))
        Q[inner, inner] = 1 / gaps[:-1]
        Q[inner + 1, inner] = -1 / gaps[:-1] - 1 / gaps[1:]
        Q[inner + 2, inner] = 1 / gaps[1:]
        R = np.diag((gaps[:-1] + gaps[1:]) / 3) + np.diag(gaps[1:-1] / 6, 1) + np.diag(gaps[1:-1] / 6, -1)
        size, self._axes = np.linalg.eigh(Q @ np.linalg.solve(R, Q.T))
        size = np.where(np.arange(m) < 2, 0.0, np.maximum(size, 0.0))  # straight lines cost nothing
        strengths = np.geomspace(1e-4 / size[-1], 1e4 / size[2], _STEPS)
        kept = 1 / (1 + strengths[:, None] * size)  # share of each axis that is kept, for every λ
        left = m - GCV_PENALTY * kept.sum(axis=1)
        self.x = x
        self._strengths, self._kept, self._left = strengths[left > 0], kept[left > 0], left[left > 0]

    def fitted(self, y: Floats) -> Floats:
        """Return ŷ at the points x, for values of shape (m,)."""
        along = self._axes.T @ y
        return np.asarray(self._axes @ (self._kept[self._chosen(along)] * along))

    def strength(self, y: Floats) -> float:
        """Return λ, the strength of smoothing that cross-validation chooses for the values `y` of shape (m,)."""
        return float(self._strengths[self._chosen(self._axes.T @ y)])

    def leverage(self, y: Floats) -> Floats:
        """Return the weight ∂ŷᵢ/∂yᵢ of each value in its own ŷ, between 0 and 1; shape (m,)."""
        kept = self._kept[self._chosen(self._axes.T @ y)]
        return np.asarray(np.sum(self._axes**2 * kept, axis=1))

    def at(self, y: Floats, x: Floats) -> Floats:
        """Return the spline through the values `y` of shape (m,), evaluated at other `x` within the range of the m."""
        from scipy.interpolate import CubicSpline

        return np.asarray(CubicSpline(self.x, self.fitted(y), bc_type="natural")(x))

    def _chosen(self, along: Floats) -> int:
        """Return the index of the λ that cross-validation chooses, for values in the coordinates of `self._axes`."""
        errors = np.sum(((1 - self._kept) * along) ** 2, axis=1)
        return int(np.argmin(errors / self._left**2))
