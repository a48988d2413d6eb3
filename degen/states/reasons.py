"""Why a figure of the states of a site is missing, or is not to be relied on."""

from __future__ import annotations

from .moments import SiteMoments

PER_DIMENSION = 10  # positions; with fewer the small eigenvalues of a covariance are far too small


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
