from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degen.arrays import Floats
from degen.stats.monotone import falling_fit

DRAW = np.random.default_rng(0)
ROWS = DRAW.normal(0, 1, (12, 9)).cumsum(axis=1) - np.linspace(0, 2, 9)
WEIGHTS = DRAW.uniform(0.1, 5, 9)
EVEN = np.ones(9)

# A curve of up to ten values, some of them equal, and their weights.
Pairs = list[tuple[float, float]]
curves = st.lists(
    st.tuples(st.one_of(st.floats(-100, 100), st.integers(-3, 3).map(float)), st.floats(0.05, 20)),
    min_size=1,
    max_size=10,
)


def halves(pairs: Pairs) -> tuple[Floats, Floats]:
    return np.array([v for v, _ in pairs]), np.array([w for _, w in pairs])


def slow_fit(values: Floats, weights: Floats) -> Floats:
    """m_i = min over a ≤ i of max over b ≥ i of the mean of x_a … x_b."""
    n = len(values)

    def mean(a: int, b: int) -> float:
        return float(np.average(values[a : b + 1], weights=weights[a : b + 1]))

    return np.array([min(max(mean(a, b) for b in range(i, n)) for a in range(i + 1)) for i in range(n)])


@pytest.mark.parametrize("weights", [EVEN, WEIGHTS])
def test_the_fit_is_the_one_of_the_formula_of_minima_and_maxima(weights: Floats) -> None:
    for row in ROWS:
        np.testing.assert_allclose(falling_fit(row, weights), slow_fit(row, weights), atol=1e-12)


def test_no_falling_curve_is_nearer_by_quadratic_programming() -> None:
    from scipy.optimize import nnls

    falls = np.triu(np.ones((9, 9)))  # m = level + sums of falls, each 0 or more
    root = np.sqrt(WEIGHTS)
    for row in ROWS:
        shifted = row - row.min() + 10  # so that the last level is above 0 as well
        _, norm = nnls(root[:, None] * falls, root * shifted)
        assert WEIGHTS @ (row - falling_fit(row, WEIGHTS)) ** 2 == pytest.approx(norm**2, abs=1e-8)


@given(curves)
def test_the_fit_never_rises_and_is_that_of_the_formula(pairs: Pairs) -> None:
    values, weights = halves(pairs)
    fitted = falling_fit(values, weights)
    assert (np.diff(fitted) <= 0).all()
    near = 1e-10 * (1 + float(np.abs(values).max())) * float(weights.max() / weights.min())
    np.testing.assert_allclose(fitted, slow_fit(values, weights), atol=near)


def test_a_fit_leaves_its_arguments_unchanged() -> None:
    values, weights = ROWS[0].copy(), WEIGHTS.copy()
    falling_fit(values, weights)
    np.testing.assert_array_equal(values, ROWS[0])
    np.testing.assert_array_equal(weights, WEIGHTS)
