"""How many standard errors an interval reaches to either side."""

from __future__ import annotations


def one_sided(confidence: float, freedom: float | None = None) -> float:
    """Return the distance from a value to the end of its one-sided interval, in standard errors.

    Args:
        confidence: of the interval, between 0 and 1.
        freedom: degrees of freedom of the standard error, for Student's t; None for the normal distribution, where the
            standard error is as good as known.
    """
    from scipy.special import ndtri, stdtrit  # scipy.stats has them too, but takes much longer to import

    return float(ndtri(confidence) if freedom is None else stdtrit(freedom, confidence))


def two_sided(confidence: float, freedom: float | None = None) -> float:
    """Return the distance from a value to either end of its two-sided interval; arguments as for `one_sided`."""
    return one_sided((1 + confidence) / 2, freedom)
