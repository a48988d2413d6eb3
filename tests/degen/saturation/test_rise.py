from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from degen.arrays import Floats
from degen.saturation.noise import Noise, find_noise
from degen.saturation.rise import Rise, find_rise

N = 6
SIGMA = 0.01
STEPS = np.arange(1, 26) * 5000
ODD_STEPS = STEPS**3 // 10**6 + np.arange(25)
ANYTHING = 1e9  # a floor that lets the whole curve be late


def known(n: int = N, sigma: float = 1.0) -> Noise:
    return Noise(sigma**2 * np.eye(n), math.inf)


def estimated(n: int = N, freedom: float = 3.0) -> Noise:
    return Noise(np.eye(n), freedom)


def correlated(n: int = N) -> Noise:
    """Return noise in which neighbours err together, and the later the more."""
    distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    size = np.linspace(0.7, 1.4, n)
    return Noise(np.outer(size, size) * 0.6**distance, math.inf)


# Slow twins


def fit(values: Floats, weights: Floats, rising: bool) -> Floats:
    return isotonic_regression(values, weights=weights, increasing=rising).x if len(values) else values


def slow_valley(values: Floats, weights: Floats) -> tuple[float, Floats]:
    """Return the nearest curve that falls, then rises, and its misfit; each index of the bottom is tried."""
    tried = []
    for k in range(len(values) + 1):
        fitted = np.concatenate([fit(values[:k], weights[:k], False), fit(values[k:], weights[k:], True)])
        tried.append((float(weights @ (values - fitted) ** 2), k, fitted))
    misfit, _, fitted = min(tried, key=lambda candidate: candidate[:2])
    return misfit, fitted


def slow_statistics(values: Floats, weights: Floats) -> tuple[float, float]:
    """Return T and F."""
    misfit = float(weights @ (values - fit(values, weights, False)) ** 2)
    return misfit - slow_valley(values, weights)[0], misfit


def slow_null(covariance: Floats, draws: int = 2000) -> Floats:
    rng = np.random.default_rng(99)
    drawn = rng.multivariate_normal(np.zeros(len(covariance)), covariance, draws)
    return np.array([slow_statistics(row, 1 / np.diag(covariance)) for row in drawn])


def slow_excess(values: Floats, covariance: Floats) -> float:
    """Return the last value less the bottom's mean, in standard errors; see `_final_excess`."""
    weights = 1 / np.diag(covariance)
    misfit, fitted = slow_valley(values, weights)
    bottom = [i for i in range(len(values)) if fitted[i] == fitted.min()]
    mean = np.zeros(len(values))
    mean[bottom] = weights[bottom] / weights[bottom].sum()
    difference = np.eye(len(values))[-1] - mean
    error = math.sqrt(difference @ covariance @ difference)
    if error == 0:  # it is the bottom
        return 0.0
    scale = min(1.0, math.sqrt(misfit / max(1, len(values) - len(set(fitted)))))
    return float(values[-1] - mean @ values) / (scale * error)


def curves(count: int = 5) -> Any:
    rng = np.random.default_rng(5)
    slopes = np.linspace(0, 2.5, count)
    return [slope * np.abs(np.arange(N) - 2) / N + rng.normal(0, 1, N) for slope in slopes]


# The statistics and their p-values


@pytest.fixture(scope="module")
def null() -> Floats:
    """Return T and F of noise on a plateau."""
    return slow_null(np.eye(N))


def test_p_values_of_known_noise_are_shares_of_t_and_f_of_noise_on_a_plateau(null: Floats) -> None:
    for values in curves():
        t, f = slow_statistics(values, np.ones(N))
        rise = find_rise(values, known(), ANYTHING)
        assert rise.p_value == pytest.approx(np.mean(null[:, 0] >= t), abs=0.03)
        assert rise.p_not_monotone == pytest.approx(np.mean(null[:, 1] >= f), abs=0.03)


def test_p_values_of_estimated_noise_are_shares_of_what_does_not_depend_on_its_size(null: Floats) -> None:
    ratios = null[:, 0] / np.maximum(null[:, 1], 1e-300)
    sizes = np.random.default_rng(3).chisquare(3.0, len(null)) / 3.0
    for values in curves():
        t, f = slow_statistics(values, np.ones(N))
        rise = find_rise(values, estimated(), ANYTHING)
        assert rise.p_value == pytest.approx(np.mean(ratios >= t / f), abs=0.03)
        assert rise.p_not_monotone == pytest.approx(np.mean(null[:, 1] / sizes >= f), abs=0.03)
        twice = find_rise(values, Noise(4 * np.eye(N), 3.0), ANYTHING)
        assert twice.p_value == rise.p_value


def test_p_values_of_correlated_noise_come_from_draws_that_are_correlated_as_well() -> None:
    noise = correlated()
    of_noise = slow_null(noise.covariance)
    for values in curves(3):
        t, f = slow_statistics(values, 1 / noise.variances)
        rise = find_rise(values, noise, ANYTHING)
        assert rise.p_value == pytest.approx(np.mean(of_noise[:, 0] >= t), abs=0.03)
        assert rise.p_not_monotone == pytest.approx(np.mean(of_noise[:, 1] >= f), abs=0.03)


def test_a_falling_curve_has_p_1_and_a_plain_rise_the_smallest_p() -> None:
    for noise in (known(), estimated(), correlated()):
        falls = find_rise(-np.arange(6.0), noise, ANYTHING)
        assert falls.p_value == falls.p_not_monotone == 1
    plain = find_rise(np.array([300.0, 0, 100, 200, 300, 400]), known(), 1000)
    assert plain.p_value == plain.p_not_monotone == 1 / 4001
    assert plain.final_excess > 100


def test_a_hump_that_comes_back_is_no_valley_and_not_monotone() -> None:
    hump = find_rise(np.array([0.0, 0, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0]), known(12), ANYTHING)
    assert hump.p_not_monotone == 1 / 4001
    assert hump.p_value > 0.05
    assert hump.final_excess == pytest.approx(0, abs=1e-9)
    assert hump.peak == 3


def plateaus(count: int, errors: bool, n: int = 25) -> list[Rise]:
    """Return the tests of noise about a constant, of known size or not."""
    rng = np.random.default_rng([7, n])
    rises = []
    for _ in range(count):
        values = 3 + rng.normal(0, SIGMA, n)
        noise = known(n, SIGMA) if errors else find_noise(STEPS[:n], values, None, None)
        rises.append(find_rise(values, noise, 0.005 * 3))
    return rises


@pytest.mark.parametrize("n", [8, 14])
@pytest.mark.parametrize("errors", [True, False])
def test_p_values_of_plateaus_are_below_5_percent_about_as_often_as_that(errors: bool, n: int) -> None:
    p = np.array([rise.p_value for rise in plateaus(400, errors, n)])
    assert np.mean(p < 0.05) <= 0.075
    assert np.mean(p < 0.5) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("errors", [True, False])
def test_p_values_of_curves_that_fall_to_the_end_are_below_5_percent_less_often(errors: bool) -> None:
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(200):
        values = 3 + 0.3 * np.exp(-STEPS / 30_000) + rng.normal(0, SIGMA, 25)
        noise = known(25, SIGMA) if errors else find_noise(STEPS, values, None, None)
        hits += find_rise(values, noise, 0.0).p_value < 0.05
    assert hits / 200 <= 0.05


# Noise that checkpoints share


def paired() -> tuple[Floats, Floats, Floats]:
    """Return values, errors and covariance of checkpoints that share windows, and so nearly all of an error."""
    rng = np.random.default_rng(2)
    common, separate = 0.1, 0.01
    rise = 0.08 * np.clip((STEPS - 80_000) / 45_000, 0, None)
    values = 3 + rise + rng.normal(0, common) + rng.normal(0, separate, 25)
    covariance = common**2 * np.ones((25, 25)) + separate**2 * np.eye(25)
    return values, np.sqrt(np.diag(covariance)), covariance


def test_pairing_shows_a_rise_that_independent_errors_of_the_same_size_hide() -> None:
    values, errors, covariance = paired()
    apart = find_noise(STEPS, values, errors, None)
    together = find_noise(STEPS, values, errors, covariance)
    assert find_rise(values, apart, 0.015).p_value > 0.2
    rise = find_rise(values, together, 0.015)
    assert rise.p_value < 0.001
    assert rise.final_excess > 4


def test_more_noise_that_all_checkpoints_share_leaves_a_rise_unchanged() -> None:
    values, _, covariance = paired()
    rises = []
    for shared in (0.0, 1.0, 100.0):
        noise = find_noise(STEPS, values + shared, None, covariance + shared)
        rises.append(find_rise(values + shared, noise, 0.015))
    for other in rises[1:]:
        assert (other.p_value, other.start, other.peak) == (rises[0].p_value, rises[0].start, rises[0].peak)
        assert other.final_excess == pytest.approx(rises[0].final_excess, rel=1e-5)


# What it depends on


def noisy_valley() -> Floats:
    fall = 0.3 * np.exp(-STEPS / 10_000) + 0.03 * np.clip((STEPS - 80_000) / 45_000, 0, None)
    return 3 + fall + np.random.default_rng(4).normal(0, SIGMA, 25)


def test_the_test_of_a_rise_uses_only_the_order_of_steps() -> None:
    values, errors = noisy_valley(), np.full(25, 1.2 * SIGMA)
    even, uneven = (find_noise(steps, values, errors, None) for steps in (STEPS, ODD_STEPS))
    assert even.freedom == uneven.freedom == math.inf
    assert find_rise(values, even, 0.015) == find_rise(values, uneven, 0.015)


@pytest.mark.parametrize("freedom", [math.inf, 12.5])
def test_values_in_another_unit_have_the_same_p_value(freedom: float) -> None:
    values, noise = noisy_valley(), Noise(SIGMA**2 * np.eye(25), freedom)
    plain = find_rise(values, noise, 0.015)
    scaled = find_rise(1000 * values - 7, Noise(1e6 * noise.covariance, freedom), 15.0)
    assert (scaled.p_value, scaled.p_not_monotone, scaled.start, scaled.peak) == (
        plain.p_value,
        plain.p_not_monotone,
        plain.start,
        plain.peak,
    )
    assert scaled.final_excess == pytest.approx(plain.final_excess)
    assert 0.0002 < plain.p_value < 0.1


def test_the_p_value_of_a_rise_does_not_depend_on_the_global_random_state() -> None:
    np.random.seed(0)
    first = find_rise(noisy_valley(), estimated(25), 0.015)
    np.random.seed(1)
    assert find_rise(noisy_valley(), estimated(25), 0.015) == first
    assert find_rise(noisy_valley(), correlated(25), 0.015) == find_rise(noisy_valley(), correlated(25), 0.015)


def test_values_before_the_late_part_are_not_tested() -> None:
    late = np.array([3.0, 3.01, 2.99, 3.02, 3.05, 3.06])
    alone = find_rise(late, known(6, SIGMA), 0.015)
    early = np.array([9.0, 4.0, 7.0, 5.0])
    both = find_rise(np.append(early, late), known(10, SIGMA), 0.015)
    assert (both.start, both.peak) == (4 + alone.start, 4 + alone.peak)
    assert (both.p_value, both.p_not_monotone, both.final_excess) == (
        alone.p_value,
        alone.p_not_monotone,
        alone.final_excess,
    )


# The peak and the final excess


@pytest.mark.parametrize("noise", [known(), correlated()])
def test_the_peak_ends_the_beginning_that_looks_most_like_a_valley(noise: Noise) -> None:
    weights = 1 / noise.variances
    for values in curves(8):
        evidence = [slow_statistics(values[:j], weights[:j])[0] for j in range(1, N + 1)]
        assert find_rise(values, noise, ANYTHING).peak == int(np.argmax(np.round(evidence, 10)))


def test_the_peak_of_a_collapse_that_comes_back_is_the_collapse() -> None:
    values = np.array([5.0, 3, 3, 3, 4, 5, 6, 6, 4, 3, 3, 3])
    assert find_rise(values, known(12, SIGMA), 0.0).peak == 7


@pytest.mark.parametrize("noise", [known(), known(N, 0.1), correlated()])
def test_the_final_excess_is_over_the_bottom_of_the_valley(noise: Noise) -> None:
    for values in curves(8):
        excess = find_rise(values, noise, ANYTHING).final_excess
        assert excess == pytest.approx(slow_excess(values, noise.covariance), rel=1e-6, abs=1e-9)


def test_a_final_value_at_the_bottom_has_no_excess() -> None:
    assert find_rise(np.array([5.0, 4, 3, 2, 1, 0]), known(), ANYTHING).final_excess == 0


def test_a_valley_that_every_value_lies_on_is_beyond_doubt() -> None:
    leaps = np.array([1.0, 0, 0, 0, 3, 6])
    assert find_rise(leaps, known(6, 10.0), ANYTHING).final_excess > 1e6
