"""How many standard errors an interval reaches."""

from __future__ import annotations

from statistics import NormalDist


def one_sided(confidence: float, freedom: float | None = None) -> float:
    """Return the way from a value to the end of its one-sided interval.

    Args:
        confidence: in (0, 1).
        freedom: degrees of freedom of the standard error, for Student's t; None where it is as good as known, for the
            normal distribution.
    """
    if freedom is None:
        return NormalDist().inv_cdf(confidence)
    from scipy.special import stdtrit

    return float(stdtrit(freedom, confidence))


def two_sided(confidence: float, freedom: float) -> float:
    """Return the way from a value to either end of its interval by Student's t; arguments as above."""
    return one_sided((1 + confidence) / 2, freedom)
