"""Rank correlations with intervals: Spearman's ρ and Kendall's τ."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats

from .quantiles import two_sided

MIN_POINTS = 5  # points; with four, a variance of 0.437/(n − 4) is infinite


@dataclass(frozen=True)
class Correlation:
    """A rank correlation.

    Attributes:
        value: between −1 and 1; None where there is none.
        low: lower end of its interval.
        high: upper end.
        reason: why there is none.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


def spearman(x: Floats, y: Floats, confidence: float = 0.9) -> Correlation:
    """Return Spearman's ρ, the correlation of ranks, with its interval.

    Interval: Fisher's, z = atanh ρ with variance (1 + ρ²/2)/(n − 3); not a bootstrap, which is too narrow for ten
    points. ρ of a sample is too small, ((n − 2)ρ + 3τ)/(n + 1) on average, by which the interval alone would miss
    strong correlations: it reaches over that of ((n + 1)ρ − 3τ)/(n − 2), too. At ±1, where z is infinite, the nearest
    value that n points can show takes its place, 1 − 12/(n(n² − 1)), and the interval ends at ±1.

    Args:
        x: n values.
        y: n values, in the same order.
        confidence: of the interval.

    Source: Bonett and Wright 2000, Sample size requirements for estimating Pearson, Kendall and Spearman correlations,
        Psychometrika 65; the mean of ρ: Hoeffding 1948, A class of statistics with asymptotically normal distribution,
        Ann. Math. Stat. 19.
    """
    from scipy.stats import kendalltau, spearmanr

    if (reason := _no_order(x, y)) is not None:
        return Correlation(None, reason=reason)
    n, value = len(x), float(spearmanr(x, y).statistic)
    unbiased = ((n + 1) * value - 3 * float(kendalltau(x, y).statistic)) / (n - 2)
    ends = [
        _fisher(r, 12 / (n * (n * n - 1)), lambda r: (1 + r * r / 2) / (n - 3), confidence) for r in (value, unbiased)
    ]
    return Correlation(value, min(low for low, _ in ends), max(high for _, high in ends))


def kendall(x: Floats, y: Floats, confidence: float = 0.9) -> Correlation:
    """Return Kendall's τ-b with its interval: pairs in the same order less those in the opposite one, as a share.

    Interval: Fisher's, z = atanh τ with the larger of two variances: 0.437/(n − 4), for moderate τ, and that of τ where
    some rising scales make both normal, with r = sin(πτ/2):
    2/(n(n − 1)) · [1 − (4/π²)asin² r + 2(n − 2)(1/9 − (4/π²)asin²(r/2))] / (1 − τ²)². At ±1 as for `spearman`, where
    the nearest value is 1 − 4/(n(n − 1)).

    Args:
        x: n values.
        y: n values, in the same order.
        confidence: of the interval.

    Source: Fieller, Hartley and Pearson 1957, Tests for rank correlation coefficients, Biometrika 44; Esscher 1924,
        On a method of determining correlation from the ranks of the variates, Scand. Actuar. J.
    """
    from scipy.stats import kendalltau

    if (reason := _no_order(x, y)) is not None:
        return Correlation(None, reason=reason)
    n, value = len(x), float(kendalltau(x, y).statistic)

    def variance(tau: float) -> float:
        r, share = math.sin(math.pi * tau / 2), 4 / math.pi**2
        bracket = 1 - share * math.asin(r) ** 2 + 2 * (n - 2) * (1 / 9 - share * math.asin(r / 2) ** 2)
        return max(0.437 / (n - 4), 2 / (n * (n - 1)) * bracket / (1 - tau**2) ** 2)

    return Correlation(value, *_fisher(value, 4 / (n * (n - 1)), variance, confidence))


def _no_order(x: Floats, y: Floats) -> str | None:
    """Return the reason why points have no rank correlation; None where they have one."""
    if len(x) < MIN_POINTS:
        return f"{len(x)} point{'s' if len(x) != 1 else ''} with both; a rank correlation needs {MIN_POINTS}"
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return "one of the two is the same at all points, which leaves no order"
    return None


def _fisher(value: float, step: float, variance: Callable[[float], float], confidence: float) -> tuple[float, float]:
    """Return the ends of a correlation's interval by z = atanh.

    Args:
        value: the correlation.
        step: distance from ±1 to the nearest value that the points can show.
        variance: gives the variance of z for a correlation.
        confidence: of the interval.
    """
    near = max(-1 + step, min(1 - step, value))
    reach = two_sided(confidence) * math.sqrt(variance(near))
    low, high = math.tanh(math.atanh(near) - reach), math.tanh(math.atanh(near) + reach)
    at_end = abs(value) > 1 - step / 2
    return (-1.0 if at_end and value < 0 else low), (1.0 if at_end and value > 0 else high)
