"""Why a figure of the states of a site is missing, or is not to be relied on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from degen.arrays import Floats

from .moments import SiteMoments

PER_DIMENSION = 10  # positions; with fewer the small eigenvalues of a covariance are far too small

ROUNDING_STEPS = 4  # of the type of the states: a smaller spread is what two ways to add the same numbers differ by


def unmeasurable(moments: SiteMoments) -> str | None:
    """Return why a site has no spectrum; None where it has one."""
    if not moments.are_finite:
        return "its states are not finite, or too large for their squares"
    if moments.count == 0:
        return "no position is left of its windows"
    if moments.energy == 0:
        return "all its states are zero"
    return None


def constant(moments: SiteMoments) -> str | None:
    """Return why the covariance of a site is zero; None where it is not."""
    if moments.count < 2:
        return "one position has no covariance"
    return None if moments.covariance_eigenvalues[0] > 0 else "all its states are equal, so their covariance is zero"


def few_positions(count: int, width: int) -> str | None:
    """Return a warning for figures of the covariance of so few positions; None where they are enough."""
    if count >= PER_DIMENSION * width:
        return None
    return f"spectra of {count} positions, fewer than {PER_DIMENSION} for each of {width} dimensions, are biased"


def rounding_alone(mean: Floats, variances: Floats, unit: float) -> str | None:
    """Return a warning for states that differ by no more than the rounding of their type; None where they do.

    That is where no coordinate has a standard deviation above 4u times its root mean square, or that of the median
    coordinate, as a sum that leaves a small coordinate is rounded by its terms.

    Args:
        mean: of each coordinate, d.
        variances: of each coordinate, d; where all are zero `constant` says so.
        unit: u, the distance from 1 to the next number of the type of the states.
    """
    squares = mean**2 + variances
    limits = (ROUNDING_STEPS * unit) ** 2 * np.maximum(squares, np.median(squares))
    if not variances.any() or (variances > limits).any():
        return None
    return "its states differ by no more than the rounding of their type, which is what figures of their spread show"


def joined(reasons: Iterable[str | None]) -> str | None:
    """Return reasons as one, without those that are None; None where all are."""
    return "; ".join(reason for reason in reasons if reason) or None
