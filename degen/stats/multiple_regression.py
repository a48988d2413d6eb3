"""Least squares with several unknowns: coefficients, their covariance, and what the others explain of a column."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats

from .quantiles import two_sided

MAX_SHARED = 0.9  # share of a column's variance that the others explain: a variance inflation of 10
MIN_FREEDOM = 2  # degrees of freedom of the residuals below which there is no interval


@dataclass(frozen=True, eq=False)
class Regression:
    """y = X·b by least squares.

    Attributes:
        coefficients: b, shape (p,); of least norm where columns of X are collinear.
        inverse: the pseudo-inverse of XᵀX, shape (p, p).
        residuals: y − X·b, shape (n,).
        freedom: degrees of freedom of the residuals, n less the rank of X.
    """

    coefficients: Floats
    inverse: Floats
    residuals: Floats
    freedom: int

    @property
    def variance(self) -> float:
        """Variance of a value around the fit, RSS/freedom."""
        return float(self.residuals @ self.residuals) / self.freedom

    def error(self, column: int) -> float:
        """Return the standard error of a coefficient."""
        return math.sqrt(self.variance * float(self.inverse[column, column]))

    def interval(self, column: int, confidence: float) -> tuple[float, float]:
        """Return the ends, low and high, of the t-interval of a coefficient."""
        reach = two_sided(confidence, self.freedom) * self.error(column)
        value = float(self.coefficients[column])
        return value - reach, value + reach


def regress(design: Floats, values: Floats) -> Regression:
    """Return the least squares of values, shape (n,), on the columns of a design matrix, shape (n, p)."""
    scale = np.maximum(np.linalg.norm(design, axis=0), np.finfo(float).tiny)  # columns of one size lose no digits
    scaled = design / scale
    coefficients = np.linalg.lstsq(scaled, values, rcond=None)[0]
    inverse = np.linalg.pinv(scaled.T @ scaled, hermitian=True) / np.outer(scale, scale)
    freedom = len(design) - int(np.linalg.matrix_rank(scaled))
    return Regression(coefficients / scale, inverse, values - scaled @ coefficients, freedom)


def explained_share(design: Floats, column: int) -> float:
    """Return the share of a column's variance that the other columns of a design matrix explain, from 0 to 1.

    1/(1 − share) is the variance inflation of its coefficient. A constant must be among the other columns.
    """
    values = design[:, column]
    others = regress(np.delete(design, column, axis=1), values)
    total = float(((values - values.mean()) ** 2).sum())
    return 1 - float(others.residuals @ others.residuals) / total if total > 0 else 1.0
