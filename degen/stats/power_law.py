"""A power law y = k·x^p through points: a straight line through their logarithms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError

MIN_SPREAD = 1e-6  # spread of ln x, as a standard deviation, below which all x are one
MAX_RESIDUAL = float(np.log(1.1))  # how far ln y may lie from a line in ln x, from end to end, to follow from it


@dataclass(frozen=True)
class Power:
    """y = exp(log_coefficient)·x^exponent."""

    exponent: float
    log_coefficient: float


def check_part_ways(x: Floats, y: Floats, what: str) -> None:
    """Refuse points of which one quantity follows from the other, as at one budget or one number of tokens each.

    Args:
        x: positive, shape (n,).
        y: positive, shape (n,).
        what: of what they count, for the error.

    Raises:
        DegenError: y lies within a tenth of a power law of x.
    """
    a, b = np.log(x) - np.log(x).mean(), np.log(y) - np.log(y).mean()
    slope = float(a @ b) / float(a @ a) if a.std() >= MIN_SPREAD else 0.0
    if a.std() >= MIN_SPREAD and np.ptp(b - slope * a) < MAX_RESIDUAL:
        raise DegenError(
            f"{what} go together in these points, as at one budget or in one ratio, and their effects cannot be told "
            "apart: add models of other budgets and ratios"
        )


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
    if len(x) < 2 or at.std() < MIN_SPREAD:
        raise DegenError(f"a power law needs points of different {what}, and all have {x[0]:.4g}: add others")
    exponent = float((at - middle) @ (value - value.mean()) / ((at - middle) @ (at - middle)))
    return Power(exponent, float(value.mean() - exponent * middle))
