from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degen.arrays import Floats
from degen.stats.monotone import falling_fit, falling_misfits, valley_misfits

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
    """Return m_i = min over a ≤ i of max over b ≥ i of the mean of x_a … x_b."""
    n = len(values)

    def mean(a: int, b: int) -> float:
        return float(np.average(values[a : b + 1], weights=weights[a : b + 1]))

    return np.array([min(max(mean(a, b) for b in range(i, n)) for a in range(i + 1)) for i in range(n)])


def slow_misfit(values: Floats, weights: Floats, rising: bool = False) -> float:
    if not len(values):
        return 0.0
    sign = -1 if rising else 1
    return float(weights @ (sign * values - slow_fit(sign * values, weights)) ** 2)


def misfits(values: Floats, weights: Floats) -> Floats:
    return falling_misfits(values[None], weights)[0]


def close(values: Floats, weights: Floats) -> float:
    """Return how much rounding may change a misfit."""
    return 1e-10 * float(weights.sum()) * (1 + float(np.abs(values).max())) ** 2


# Against slow twins


@pytest.mark.parametrize("weights", [EVEN, WEIGHTS])
def test_the_fit_is_the_one_of_the_formula_of_minima_and_maxima(weights: Floats) -> None:
    for row in ROWS:
        np.testing.assert_allclose(falling_fit(row, weights), slow_fit(row, weights), atol=1e-12)


@pytest.mark.parametrize("weights", [EVEN, WEIGHTS])
def test_misfits_are_those_of_the_best_fit_to_each_beginning(weights: Floats) -> None:
    computed = falling_misfits(ROWS, weights)
    assert computed.shape == (12, 10)
    for row, of_row in zip(ROWS, computed, strict=True):
        slow = [slow_misfit(row[:k], weights[:k]) for k in range(10)]
        np.testing.assert_allclose(of_row, slow, atol=1e-10)


@pytest.mark.parametrize("weights", [EVEN, WEIGHTS])
def test_a_valley_falls_to_each_place_and_rises_from_it(weights: Floats) -> None:
    for row, of_row in zip(ROWS, valley_misfits(ROWS, weights), strict=True):
        for k in range(10):
            slow = slow_misfit(row[:k], weights[:k]) + slow_misfit(row[k:], weights[k:], rising=True)
            assert of_row[k] == pytest.approx(slow, abs=1e-10)


def test_no_falling_curve_is_nearer_by_quadratic_programming() -> None:
    from scipy.optimize import nnls

    falls = np.triu(np.ones((9, 9)))  # m = level + sums of falls, each 0 or more
    root = np.sqrt(WEIGHTS)
    for row in ROWS:
        shifted = row - row.min() + 10  # so that the last level is above 0 as well
        _, norm = nnls(root[:, None] * falls, root * shifted)
        assert misfits(row, WEIGHTS)[-1] == pytest.approx(norm**2, abs=1e-8)


@given(curves)
def test_any_curve_has_the_misfit_of_the_formula(pairs: Pairs) -> None:
    values, weights = halves(pairs)
    assert misfits(values, weights)[-1] == pytest.approx(slow_misfit(values, weights), abs=close(values, weights))


def test_two_values_have_the_formula_of_two_blocks() -> None:
    computed = misfits(np.array([1.0, 4.0]), np.array([2.0, 3.0]))
    np.testing.assert_allclose(computed, [0, 0, 2 * 3 / 5 * 9])


# Weights, ties, rows


def test_a_whole_weight_counts_as_many_copies_of_a_value() -> None:
    counts = np.array([1, 3, 2, 1, 4, 1, 2, 1, 3])
    once = falling_misfits(ROWS, counts.astype(np.float64))
    copies = falling_misfits(np.repeat(ROWS, counts, axis=1), np.ones(counts.sum()))
    np.testing.assert_allclose(copies[:, np.insert(counts.cumsum(), 0, 0)], once, atol=1e-10)


def test_equal_values_are_no_misfit() -> None:
    tied = np.array([[3.0, 3, 2, 2, 2, 1], [2.0, 2, 2, 2, 2, 2]])
    assert (falling_misfits(tied, EVEN[:6]) == 0).all()
    assert (valley_misfits(tied, EVEN[:6])[:, -1] == 0).all()


def test_the_misfit_of_a_row_does_not_depend_on_the_others() -> None:
    alone = np.concatenate([falling_misfits(row[None], WEIGHTS) for row in ROWS])
    np.testing.assert_array_equal(falling_misfits(ROWS, WEIGHTS), alone)
    np.testing.assert_array_equal(falling_misfits(ROWS[::-1], WEIGHTS), alone[::-1])
    valleys = np.concatenate([valley_misfits(row[None], WEIGHTS) for row in ROWS])
    np.testing.assert_array_equal(valley_misfits(ROWS, WEIGHTS), valleys)


def test_misfits_leave_their_arguments_unchanged() -> None:
    values, weights = ROWS.copy(), WEIGHTS.copy()
    valley_misfits(values, weights)
    falling_fit(values[0], weights)
    np.testing.assert_array_equal(values, ROWS)
    np.testing.assert_array_equal(weights, WEIGHTS)


@pytest.mark.parametrize("function", [falling_misfits, valley_misfits])
def test_no_rows_and_no_values_are_no_misfits(function: Any) -> None:
    assert function(np.empty((0, 4)), np.ones(4)).shape == (0, 5)
    np.testing.assert_array_equal(function(np.empty((3, 0)), np.empty(0)), np.zeros((3, 1)))


# What holds of every curve


@given(curves, st.floats(-1000, 1000))
def test_a_shift_of_the_values_leaves_misfits_unchanged(pairs: Pairs, shift: float) -> None:
    values, weights = halves(pairs)
    near = close(np.append(values, shift), weights)
    np.testing.assert_allclose(misfits(values + shift, weights), misfits(values, weights), atol=near)


@given(curves, st.floats(0.01, 100))
def test_values_a_times_as_large_have_misfits_a_squared_times_as_large(pairs: Pairs, scale: float) -> None:
    values, weights = halves(pairs)
    near = scale**2 * close(values, weights)
    np.testing.assert_allclose(misfits(scale * values, weights), scale**2 * misfits(values, weights), atol=near)
    np.testing.assert_allclose(misfits(values, scale * weights), scale * misfits(values, weights), atol=near + 1e-6)


@given(curves)
def test_misfits_are_the_same_with_time_and_sign_reversed(pairs: Pairs) -> None:
    values, weights = halves(pairs)
    turned = misfits(-values[::-1], weights[::-1])[-1]
    assert turned == pytest.approx(misfits(values, weights)[-1], abs=close(values, weights))


@given(curves)
def test_a_valley_with_time_reversed_has_the_same_misfit(pairs: Pairs) -> None:
    values, weights = halves(pairs)
    forwards, backwards = (valley_misfits(v[None], w)[0] for v, w in ((values, weights), (values[::-1], weights[::-1])))
    np.testing.assert_allclose(backwards[::-1], forwards, atol=close(values, weights))


@given(curves)
def test_misfits_never_fall_with_more_values(pairs: Pairs) -> None:
    computed = misfits(*halves(pairs))
    assert computed[0] == 0
    assert (np.diff(computed) >= 0).all()


@given(curves)
def test_a_curve_that_never_rises_has_no_misfit(pairs: Pairs) -> None:
    values, weights = halves(pairs)
    assert (misfits(np.sort(values)[::-1], weights) == 0).all()


@given(curves)
def test_a_valley_is_never_further_away_than_a_curve_that_never_rises(pairs: Pairs) -> None:
    values, weights = halves(pairs)
    valley = valley_misfits(values[None], weights)[0]
    assert valley[-1] == misfits(values, weights)[-1]
    assert valley.min() <= valley[-1]
    assert (valley >= 0).all()


@given(curves)
def test_the_fit_never_rises_and_has_that_misfit(pairs: Pairs) -> None:
    values, weights = halves(pairs)
    fitted = falling_fit(values, weights)
    assert (np.diff(fitted) <= 0).all()
    away = float(weights @ (values - fitted) ** 2)
    assert misfits(values, weights)[-1] == pytest.approx(away, abs=close(values, weights))
