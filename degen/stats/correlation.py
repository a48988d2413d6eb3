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
        value: between −1 and 1; None where the correlation cannot be computed.
        low: the lower end of its interval; None as well.
        high: the upper end of its interval; None as well.
        reason: why it cannot be computed; None where it can.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


def spearman(x: Floats, y: Floats, confidence: float = 0.9) -> Correlation:
    """Return Spearman's ρ, the correlation of ranks, with its interval.

    Interval: Fisher's, z = atanh ρ with variance (1 + ρ²/2)/(n − 3); a bootstrap would be too narrow for ten points.
    ρ of a sample is too small, ((n − 2)ρ + 3τ)/(n + 1) on average, so that this interval would miss strong
    correlations; it is widened to contain the interval of the corrected ((n + 1)ρ − 3τ)/(n − 2) as well. At ρ = ±1,
    where z is infinite, the nearest value that n points can have is used, ±(1 − 12/(n(n² − 1))), and the interval ends
    at ±1.

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
    """Return Kendall's τ-b with its interval.

    Formula: the share of pairs of points that x and y order alike, less the share that they order oppositely.

    Interval: Fisher's, z = atanh τ with the larger of two variances: 0.437/(n − 4), which holds for moderate τ, and
    the one that holds where x and y are rising functions of normal variables, with r = sin(πτ/2):
    2/(n(n − 1)) · [1 − (4/π²)asin² r + 2(n − 2)(1/9 − (4/π²)asin²(r/2))] / (1 − τ²)². At τ = ±1 the nearest value that
    n points can have is used, ±(1 − 4/(n(n − 1))), and the interval ends at ±1.

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
    """Return the reason why the points (x, y) have no rank correlation; None where they have one."""
    if len(x) < MIN_POINTS:
        return f"{len(x)} point{'s' if len(x) != 1 else ''} with both; a rank correlation needs {MIN_POINTS}"
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return "one of the two values is the same at all points, so that no order can be compared"
    return None


def _fisher(value: float, step: float, variance: Callable[[float], float], confidence: float) -> tuple[float, float]:
    """Return the lower and the upper end of a correlation's interval, by z = atanh.

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
