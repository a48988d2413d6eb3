"""Rank correlations and their intervals against their formulas, pair by pair."""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest

from degen.arrays import Floats
from degen.stats.correlation import kendall, spearman


def slow_tau(x: Floats, y: Floats) -> float:
    """Return τ-b: concordant less discordant pairs over √(pairs untied in x · pairs untied in y)."""
    signs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i, j in itertools.combinations(range(len(x)), 2)]
    untied = [sum(pair[k] != 0 for pair in signs) for k in (0, 1)]
    return float(sum(a * b for a, b in signs)) / math.sqrt(untied[0] * untied[1])


def slow_rho(x: Floats, y: Floats) -> float:
    """Return the correlation of ranks; the rank of a value is the mean over equal ones."""
    ranks = [[sum(w < v for w in z) + (1 + sum(w == v for w in z)) / 2 for v in z] for z in (x, y)]
    return float(np.corrcoef(ranks)[0, 1])


def ends(value: float, variance: float, confidence: float) -> tuple[float, float]:
    """Return the interval of Fisher: tanh(atanh r ± z·√variance)."""
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(variance)
    return math.tanh(math.atanh(value) - reach), math.tanh(math.atanh(value) + reach)


@pytest.mark.parametrize("levels", [4, 1000])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
def test_correlations_and_intervals_are_those_of_the_formulas(levels: int, confidence: float) -> None:
    rng = np.random.default_rng(levels)
    for n in (6, 15, 40):
        x = rng.integers(0, levels, n).astype(float)
        y = x + rng.integers(0, levels, n)
        tau, rho = slow_tau(x, y), slow_rho(x, y)
        corrected = ((n + 1) * rho - 3 * tau) / (n - 2)
        both = [ends(r, (1 + r * r / 2) / (n - 3), confidence) for r in (rho, min(corrected, 1 - 12 / (n**3 - n)))]
        of_rho = spearman(x, y, confidence)
        assert (of_rho.value, of_rho.low) == pytest.approx((rho, min(low for low, _ in both)))
        if corrected < 1 - 6 / (n**3 - n):
            assert of_rho.high == pytest.approx(max(high for _, high in both))
        r, share = math.sin(math.pi * tau / 2), 4 / math.pi**2
        of_normal = 1 - share * math.asin(r) ** 2 + 2 * (n - 2) * (1 / 9 - share * math.asin(r / 2) ** 2)
        variance = max(0.437 / (n - 4), 2 / (n * (n - 1)) * of_normal / (1 - tau**2) ** 2)
        of_tau = kendall(x, y, confidence)
        assert (of_tau.value, of_tau.low, of_tau.high) == pytest.approx((tau, *ends(tau, variance, confidence)))


def test_the_interval_of_a_perfect_order_ends_at_1() -> None:
    x = np.arange(8.0)
    for correlate, step in ((spearman, 12 / (8**3 - 8)), (kendall, 4 / (8 * 7))):
        assert correlate(x, x**3).high == 1
        assert correlate(x, -x).low == -1
        assert correlate(x, x**3).low == pytest.approx(-correlate(x, -x).high)
        assert correlate(x, x**3).low < 1 - step
