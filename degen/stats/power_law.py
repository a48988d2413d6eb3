"""A power law y = k·x^p through points: a straight line through their logarithms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError

MIN_SPREAD = 1e-6  # standard deviation of ln x below which all x count as one
MAX_RESIDUAL = float(np.log(1.1))  # range of the residuals of ln y below which y follows from x


@dataclass(frozen=True)
class Power:
    """The power law y = exp(log_coefficient)·x^exponent."""

    exponent: float
    log_coefficient: float


def check_part_ways(x: Floats, y: Floats, quantities: str) -> None:
    """Refuse points at which y follows from x, so that their effects cannot be told apart.

    That is so where all models were trained on one budget, or on one number of tokens per parameter.

    Args:
        x: positive, shape (n,).
        y: positive, shape (n,).
        quantities: the names of x and y, for the error, as `size and tokens`.

    Raises:
        DegenError: every y lies within a tenth of one power law of x.
    """
    if np.log(x).std() < MIN_SPREAD:
        return
    if np.ptp(np.log(y) - fit_power(x, y, quantities).exponent * np.log(x)) < MAX_RESIDUAL:
        raise DegenError(
            f"{quantities} change together in these points (all have one budget, or one ratio of the two), so that "
            "their effects on the loss cannot be told apart: add models of other budgets or ratios"
        )


def fit_power(x: Floats, y: Floats, quantity: str) -> Power:
    """Fit a power law by least squares on ln y.

    Args:
        x: positive, shape (n,).
        y: positive, shape (n,).
        quantity: the name of x, for the error.

    Raises:
        DegenError: the points have fewer than two different x.
    """
    log_x, log_y = np.log(x), np.log(y)
    if len(x) < 2 or log_x.std() < MIN_SPREAD:
        raise DegenError(
            f"a power law needs points of different {quantity}, and all points have {x[0]:.4g}: add points of other "
            f"{quantity}"
        )
    from_mean = log_x - log_x.mean()
    exponent = float(from_mean @ (log_y - log_y.mean()) / (from_mean @ from_mean))
    return Power(exponent, float(log_y.mean() - exponent * log_x.mean()))
