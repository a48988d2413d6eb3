"""A power law y = k·x^p through points: a straight line through their logarithms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from degen.errors import DegenError

Floats = np.ndarray[Any, np.dtype[np.float64]]

APART = 1e-6  # spread of ln x, as a standard deviation, below which all x are one


@dataclass(frozen=True)
class Power:
    """y = exp(log_coefficient)·x^exponent."""

    exponent: float
    log_coefficient: float

    def __call__(self, x: Any) -> Any:
        """The law's y."""
        return np.exp(self.log_coefficient + self.exponent * np.log(x))

    def inverse(self, y: Any) -> Any:
        """The x that has this y."""
        return np.exp((np.log(y) - self.log_coefficient) / self.exponent)


def fit_power(x: Floats, y: Floats, what: str) -> Power:
    """Fit a power law by least squares on ln y.

    Args:
        x: positive, shape (n,).
        y: positive, shape (n,).
        what: of what x counts, for the error.

    Raises:
        DegenError: fewer than two different x.
    """
    at, value = np.log(x), np.log(y)
    middle = at.mean()
    if len(x) < 2 or at.std() < APART:
        raise DegenError(f"a power law needs points of different {what}, and all have {x[0]:.4g}: add others")
    exponent = float((at - middle) @ (value - value.mean()) / ((at - middle) @ (at - middle)))
    return Power(exponent, float(value.mean() - exponent * middle))
