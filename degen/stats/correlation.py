"""Rank correlations with intervals: Spearman's ρ and Kendall's τ."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from degen.arrays import Floats

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


def ranks(values: Floats) -> Floats:
    """Return the ranks from 1, equal values at the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: Floats = (last - (counts - 1) / 2)[inverse.reshape(-1)]
    return found


def spearman(x: Floats, y: Floats, confidence: float = 0.9) -> Correlation:
    """Return Spearman's ρ: the correlation of ranks.

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
    obstacle = _obstacle(x, y)
    if obstacle is not None:
        return Correlation(None, reason=obstacle)
    n, u, v = len(x), ranks(x) - (len(x) + 1) / 2, ranks(y) - (len(y) + 1) / 2
    value = float(u @ v) / math.sqrt(float(u @ u) * float(v @ v))
    unbiased = ((n + 1) * value - 3 * _tau(x, y)) / (n - 2)
    ends = [
        _fisher(r, 12 / (n * (n * n - 1)), lambda r: (1 + r * r / 2) / (n - 3), confidence) for r in (value, unbiased)
    ]
    return Correlation(_bounded(value), min(low for low, _ in ends), max(high for _, high in ends))


def kendall(x: Floats, y: Floats, confidence: float = 0.9) -> Correlation:
    """Return Kendall's τ-b: pairs in the same order less those in the opposite one, over their number but for ties.

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
    obstacle = _obstacle(x, y)
    if obstacle is not None:
        return Correlation(None, reason=obstacle)
    n, value = len(x), _tau(x, y)

    def variance(tau: float) -> float:
        r, share = math.sin(math.pi * tau / 2), 4 / math.pi**2
        bracket = 1 - share * math.asin(r) ** 2 + 2 * (n - 2) * (1 / 9 - share * math.asin(r / 2) ** 2)
        return max(0.437 / (n - 4), 2 / (n * (n - 1)) * bracket / (1 - tau**2) ** 2)

    return Correlation(_bounded(value), *_fisher(value, 4 / (n * (n - 1)), variance, confidence))


def _tau(x: Floats, y: Floats) -> float:
    agree, untied_x, untied_y = 0, 0, 0
    for i in range(len(x) - 1):  # row by row: a table of all pairs would be large
        a, b = np.sign(x[i + 1 :] - x[i]), np.sign(y[i + 1 :] - y[i])
        agree, untied_x, untied_y = agree + int(a @ b), untied_x + int(a @ a), untied_y + int(b @ b)
    return agree / math.sqrt(untied_x * untied_y)


def _bounded(value: float) -> float:
    return max(-1.0, min(1.0, value))


def _obstacle(x: Floats, y: Floats) -> str | None:
    if len(x) < MIN_POINTS:
        return f"{len(x)} point{'s' if len(x) != 1 else ''} with both; a rank correlation needs {MIN_POINTS}"
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return "one of the two is the same at all points, which leaves no order"
    return None


def _fisher(value: float, step: float, variance: Callable[[float], float], confidence: float) -> tuple[float, float]:
    """Return the interval of a correlation by z = atanh; `step` is how far from ±1 the nearest value lies."""
    near = max(-1 + step, min(1 - step, value))
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(variance(near))
    low, high = math.tanh(math.atanh(near) - reach), math.tanh(math.atanh(near) + reach)
    at_end = abs(value) > 1 - step / 2
    return (-1.0 if at_end and value < 0 else low), (1.0 if at_end and value > 0 else high)
