from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degen.arrays import Floats, Ints
from degen.saturation.noise import Noise, find_noise, find_scatter, late_start, training_shares

SIGMA = 0.01
DRAWS = 400
EVEN = np.arange(1, 26) * 5000
DOUBLING = np.concatenate([2 ** np.arange(12), np.linspace(10_000, 130_000, 13).astype(np.int64)])


def shape(name: str, steps: Ints) -> Floats:
    """Return a curve without noise, from nothing to a dozen standard deviations a checkpoint."""
    t = steps / steps[-1]
    return {"plateau": 0 * t, "line": 20 * SIGMA * t, "power law": 12 * SIGMA * (t + 0.02) ** -0.5}[name]


def scatters(steps: Ints, curve: Floats, draws: int = DRAWS, sigma: float = SIGMA) -> Floats:
    """Return s and ν of every draw of noise on a curve."""
    rng = np.random.default_rng([len(steps), draws])
    return np.array([find_scatter(steps, curve + rng.normal(0, sigma, len(steps))) for _ in range(draws)])


def noise_of(steps: Ints, values: Floats, errors: Floats | None = None, **options: Any) -> Noise:
    noise = find_noise(steps, values, errors, options.pop("covariance", None), **options)
    return noise


def noisy(sigma: float = SIGMA, steps: Ints = EVEN, seed: int = 0) -> Floats:
    return 3 + np.random.default_rng(seed).normal(0, sigma, len(steps))


# The scatter


def slow_scatter(steps: Ints, values: Floats) -> float:
    """Return the scatter from lines through neighbours by polyfit, each prediction's error by its unit responses."""
    median = float(np.median([b - a for a, b in itertools.pairwise(steps)]))
    x = [math.log(t - steps[0] + median) for t in steps]
    squares, shares = [], []
    for i in range(1, len(steps) - 1):
        near = [j for j in (i - 2, i - 1, i + 1, i + 2) if 0 <= j < len(steps)]

        def predict(y: Any, i: int = i, near: list[int] = near) -> float:
            return float(np.polyval(np.polyfit([x[j] - x[i] for j in near], [y[j] for j in near], 1), 0.0))

        variance = 1 + sum(predict(np.eye(len(steps))[j]) ** 2 for j in near)
        squares.append((values[i] - predict(values)) ** 2 / variance)
        shares.append((steps[i + 1] - steps[i - 1]) / 2)
    smallest: list[tuple[float, float]] = []
    for square, share in sorted(zip(squares, shares, strict=True)):
        if smallest and sum(s for _, s in smallest) + share > 0.8 * sum(shares) * (1 + 1e-9):
            break
        smallest.append((square, share))
    draws = np.sort(np.random.default_rng(0).normal(size=1_000_000) ** 2)[:800_000]
    mean = sum(q * s for q, s in smallest) / sum(s for _, s in smallest)
    return math.sqrt(mean / float(draws.mean()))


@pytest.mark.parametrize("steps", [EVEN, DOUBLING, EVEN[:5], np.array([0, 1, 10, 1000, 1100, 1200, 5000])])
def test_the_scatter_is_that_of_residuals_from_neighbours_without_the_largest_fifth(steps: Ints) -> None:
    values = noisy(steps=steps) + shape("power law", steps)
    scatter = find_scatter(steps, values)
    assert scatter[0] == pytest.approx(slow_scatter(steps, values), rel=0.005)


@pytest.mark.parametrize("name", ["plateau", "line", "power law"])
def test_the_scatter_is_the_standard_deviation_of_normal_noise(name: str) -> None:
    scatter, freedom = scatters(EVEN, shape(name, EVEN)).T
    assert scatter.mean() == pytest.approx(SIGMA, rel=0.05)
    assert np.sqrt(np.mean(scatter**2)) == pytest.approx(SIGMA, rel=0.05)
    assert (freedom == freedom[0]).all()


@pytest.mark.parametrize("name", ["plateau", "line"])
def test_the_scatter_of_steps_that_double_early_is_the_standard_deviation(name: str) -> None:
    scatter = scatters(DOUBLING, shape(name, DOUBLING))[:, 0]
    assert scatter.mean() == pytest.approx(SIGMA, rel=0.05)


@pytest.mark.parametrize("steps", [EVEN, DOUBLING, np.arange(1, 51), np.arange(10)])
def test_the_degrees_of_freedom_are_those_that_the_square_of_the_scatter_varies_with(steps: Ints) -> None:
    scatter, freedom = scatters(steps, shape("plateau", steps), 1000).T
    squares = scatter**2
    observed = 2 * squares.mean() ** 2 / squares.var()
    assert observed / 1.6 < freedom[0] < observed * 1.6


def test_early_steps_in_dense_order_say_nothing_of_the_end() -> None:
    values = noisy(steps=DOUBLING)
    values[:10] += np.random.default_rng(1).normal(0, 1, 10)
    spoilt, whole = find_scatter(DOUBLING, values), find_scatter(DOUBLING, noisy(steps=DOUBLING))
    assert spoilt[0] < 1.3 * whole[0]


def test_a_jump_in_a_curve_is_not_counted_as_noise() -> None:
    jump = np.where(EVEN > 60_000, 100 * SIGMA, 0)
    assert scatters(EVEN, jump)[:, 0].mean() < 1.4 * SIGMA
    kink = 5 * SIGMA * np.clip((EVEN - 80_000) / 45_000, 0, None)
    assert scatters(EVEN, kink)[:, 0].mean() < 1.1 * SIGMA


@pytest.mark.parametrize(("scale", "shift", "pace"), [(1e3, 0, 1), (1, -50, 1), (1, 0, 512), (-1, 0, 1)])
def test_the_scatter_scales_with_the_values_and_with_nothing_else(scale: float, shift: float, pace: int) -> None:
    values = noisy() + shape("power law", EVEN)
    plain, scaled = find_scatter(EVEN, values), find_scatter(EVEN * pace, scale * values + shift)
    assert scaled == pytest.approx((abs(scale) * plain[0], plain[1]), rel=1e-6)


def test_the_scatter_does_not_depend_on_the_first_step() -> None:
    assert find_scatter(EVEN + 10**6, noisy()) == pytest.approx(find_scatter(EVEN, noisy()))


def test_a_curve_without_noise_has_no_scatter() -> None:
    scatter = find_scatter(EVEN, np.full(25, 3.0))
    assert scatter[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4])
def test_few_checkpoints_have_no_scatter(n: int) -> None:
    assert find_scatter(EVEN[:n], noisy()[:n]) is None


# The noise


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_few_checkpoints_have_the_noise_of_their_errors_or_none(n: int) -> None:
    steps, values = EVEN[:n], noisy()[:n]
    assert find_noise(steps, values, None, None) is None
    assert find_noise(steps, values, np.full(n, np.nan), None) is None
    noise = noise_of(steps, values, np.full(n, 0.02))
    np.testing.assert_allclose(noise.variances, 0.02**2)
    assert noise.freedom == math.inf


def test_five_checkpoints_without_errors_have_their_scatter() -> None:
    noise, scatter = noise_of(EVEN[:5], noisy()[:5]), find_scatter(EVEN[:5], noisy()[:5])
    assert noise.freedom == scatter[1]
    np.testing.assert_allclose(noise.covariance, scatter[0] ** 2 * np.eye(5), rtol=1e-9)


def test_errors_that_explain_the_scatter_are_used_as_they_are() -> None:
    errors = SIGMA * np.linspace(0.9, 1.2, 25)
    unchanged = 0
    for seed in range(100):
        values = 3 + np.random.default_rng(seed).normal(0, errors)
        noise = noise_of(EVEN, values, errors)
        if noise.freedom == math.inf:
            unchanged += 1
            np.testing.assert_allclose(noise.covariance, np.diag(errors**2), rtol=1e-9)
    assert unchanged >= 88  # one of twenty draws exceeds them by chance, and the late part is looked at once more


def test_errors_that_the_scatter_stays_below_are_used_as_they_are() -> None:
    noise = noise_of(EVEN, noisy(), np.full(25, 10 * SIGMA))
    assert noise.freedom == math.inf
    np.testing.assert_allclose(noise.variances, (10 * SIGMA) ** 2, rtol=1e-9)


def test_errors_that_the_scatter_exceeds_are_increased_to_it() -> None:
    errors = 0.3 * SIGMA * np.linspace(0.9, 1.1, 25)
    noise = noise_of(EVEN, noisy(), errors)
    scatter = find_scatter(EVEN, noisy())
    assert noise.freedom == scatter[1]
    mean = float(training_shares(EVEN) @ errors**2)
    np.testing.assert_allclose(noise.variances, errors**2 + scatter[0] ** 2 - mean, rtol=1e-9)
    assert float(training_shares(EVEN) @ noise.variances) == pytest.approx(scatter[0] ** 2)
    seen = [np.median(noise_of(EVEN, noisy(seed=seed), errors).variances) for seed in range(200)]
    assert np.sqrt(np.mean(seen)) == pytest.approx(SIGMA, rel=0.05)


def test_one_unknown_error_leaves_the_scatter_alone() -> None:
    errors = np.full(25, 10 * SIGMA)
    errors[3] = np.nan
    noise = noise_of(EVEN, noisy(), errors)
    np.testing.assert_array_equal(noise.covariance, noise_of(EVEN, noisy()).covariance)


def test_noise_is_that_of_the_late_part_of_training() -> None:
    """Where the fall of the beginning looks like noise to its neighbours."""
    fall = np.where(EVEN < 40_000, np.resize([2.0, 3.0], 25), 0.0)
    noise = noise_of(EVEN, noisy() + fall)
    start = late_start(noisy() + fall, noise.variances, 0.0)
    assert EVEN[start] >= 40_000
    late, whole = find_scatter(EVEN[start:], noisy()[start:]), find_scatter(EVEN, noisy() + fall)
    np.testing.assert_allclose(noise.variances, late[0] ** 2, rtol=1e-9)
    assert noise.freedom == late[1]
    assert 10 * late[0] < whole[0]


def test_two_leaps_of_a_curve_do_not_outvote_standard_errors() -> None:
    values = noisy()
    values[12:18] += 10 * SIGMA
    assert noise_of(EVEN, values, np.full(25, SIGMA)).freedom == math.inf


def test_noise_that_all_checkpoints_share_drops_out_exactly() -> None:
    rng = np.random.default_rng(0)
    half = 3 * SIGMA * rng.normal(size=(25, 25)) / 5
    separate, common = half @ half.T, 0.5 * np.ones((25, 25))
    weighed = rng.normal(size=25)
    plain = noise_of(EVEN, noisy(), covariance=separate)
    for shared in (common, np.add.outer(weighed, weighed)):
        noise = noise_of(EVEN, noisy(), covariance=separate + shared)
        np.testing.assert_allclose(noise.covariance, plain.covariance, atol=1e-12)
        assert noise.freedom == plain.freedom
    contrasts = rng.normal(size=(6, 25))
    contrasts -= contrasts.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(
        contrasts @ plain.covariance @ contrasts.T, contrasts @ separate @ contrasts.T, rtol=1e-6, atol=1e-9
    )


def test_a_covariance_goes_before_errors() -> None:
    covariance = np.diag(np.full(25, (2 * SIGMA) ** 2))
    noise = noise_of(EVEN, noisy(), np.full(25, 1.0), covariance=covariance)
    np.testing.assert_allclose(noise.variances, (2 * SIGMA) ** 2 * 24 / 25, rtol=1e-6)


@pytest.mark.parametrize("errors", [None, np.full(25, 0.5 * SIGMA), np.full(25, 2 * SIGMA)])
@pytest.mark.parametrize(("scale", "shift", "pace"), [(1e3, 0, 1), (1, -2.5, 1), (1, 0, 512)])
def test_noise_scales_with_the_values_and_with_nothing_else(errors: Any, scale: float, shift: float, pace: int) -> None:
    values = noisy() + shape("power law", EVEN)
    plain = noise_of(EVEN, values, errors, floor=0.02)
    scaled_errors = None if errors is None else scale * errors
    scaled = noise_of(EVEN * pace, scale * values + shift, scaled_errors, floor=scale * 0.02)
    np.testing.assert_allclose(scaled.covariance, scale**2 * plain.covariance, rtol=1e-6, atol=1e-12)
    assert scaled.freedom == pytest.approx(plain.freedom)


@pytest.mark.parametrize("errors", [None, np.zeros(25)])
def test_values_without_noise_have_a_variance_above_0(errors: Floats | None) -> None:
    for values in (np.linspace(4, 3, 25), np.where(EVEN > 60_000, 5.0, 3.0), np.where(EVEN > 120_000, 5.0, 0.0)):
        noise = noise_of(EVEN, values, errors)
        assert (noise.variances > 0).all()
        assert np.isfinite(1 / noise.variances).all()


# Where the metric came near its best, and what a checkpoint stands for


def test_the_late_part_begins_within_the_floor_or_four_deviations_of_the_best() -> None:
    values = np.array([9.0, 5.0, 3.3, 3.05, 3.0, 3.2, 6.0])
    variances = np.full(7, 0.01**2)
    assert late_start(values, variances, 0.0) == 4
    assert late_start(values, variances, 0.06) == 3
    assert late_start(values, variances, 2.5) == 1
    assert late_start(values, np.full(7, 0.1**2), 0.0) == 2
    assert late_start(values, np.full(7, 10.0**2), 0.0) == 0


def test_a_checkpoint_stands_for_half_the_way_to_its_neighbours() -> None:
    np.testing.assert_allclose(training_shares(np.array([0, 10, 40])), [5 / 40, 20 / 40, 15 / 40])
    np.testing.assert_array_equal(training_shares(np.array([7])), [1])


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=40, unique=True))
def test_training_shares_sum_to_1(steps: list[int]) -> None:
    shares = training_shares(np.array(sorted(steps)))
    assert shares.sum() == pytest.approx(1)
    assert (shares > 0).all()
