from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from degen.arrays import Floats
from degen.saturation.noise import (
    between_neighbours,
    find_scatter,
    first_near,
    local_deviation,
    measurable_start,
    rounding,
    straying,
    trimmed_deviation,
)

SIGMA = 0.01
EVEN = np.arange(1, 26) * 5000.0
UNEVEN = np.concatenate([2.0 ** np.arange(8, 14), np.linspace(17_000, 130_000, 13)])


def noisy(seed: int = 0, n: int = 25, rho: float = 0.0) -> Floats:
    z = np.random.default_rng(seed).standard_normal(n)
    for i in range(1, n):
        z[i] = rho * z[i - 1] + math.sqrt(1 - rho**2) * z[i]
    return 3 + SIGMA * z


# The scatter about a smooth curve


def slow_scatter(steps: Floats, values: Floats) -> tuple[float, float]:
    """s and r of the nearest fall and rise, each curve by least squares."""
    t = (steps - steps[0]) / (steps[-1] - steps[0])
    turns = sorted({*t[1:], *((a + b) / 2 for a, b in itertools.pairwise(t[1:-1]))})
    fits = []
    for turn in turns:
        before = np.minimum(t, turn)
        exponentials = (np.exp(-before / decay) for decay in (0.07, 0.1, 0.14, 0.2, 0.28, 0.4))
        for fall in (before, *exponentials, *((before + begun) ** -0.5 for begun in (0.03, 0.1, 0.3))):
            design = np.stack([np.ones_like(t), fall, np.maximum(t - turn, 0)], axis=1)
            residuals = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
            fits.append((float(residuals @ residuals), residuals))
    square, residuals = min(fits, key=lambda fit: fit[0])
    return math.sqrt(square / (len(t) - 4)), float(residuals[1:] @ residuals[:-1]) / square


@pytest.mark.parametrize("steps", [EVEN[:5], EVEN[:9], UNEVEN[-9:]])
def test_the_scatter_is_that_about_the_nearest_of_all_smooth_curves(steps: Floats) -> None:
    for seed in range(5):
        values = noisy(seed, len(steps)) + 0.05 * np.exp(-np.arange(len(steps)))
        scatter = find_scatter(steps, values)
        assert (scatter.deviation, scatter.correlation) == pytest.approx(slow_scatter(steps, values), rel=1e-6)


@pytest.mark.parametrize("decay", [0.08, 0.12, 0.17, 0.25])
def test_a_steep_fall_adds_nothing_to_the_scatter(decay: float) -> None:
    """Twelve checkpoints of an exponential down by 25 deviations: about as much as of noise alone."""
    steps = np.arange(1.0, 13)
    fall = 25 * SIGMA * np.exp(-(steps - 1) / 11 / decay)
    found = np.array([find_scatter(steps, noisy(seed, 12) + fall).deviation for seed in range(60)])
    alone = np.array([find_scatter(steps, noisy(seed, 12)).deviation for seed in range(60)])
    assert np.median(found) == pytest.approx(np.median(alone), rel=0.15)


def test_the_scatter_is_bounded_by_that_of_neighbours_and_of_the_beginning() -> None:
    for seed in range(5):
        jump = noisy(seed) + np.where(EVEN > 100_000, 50 * SIGMA, 0)
        bound = min(1.6 * trimmed_deviation(EVEN, jump), 2 * slow_scatter(EVEN[:10], jump[:10])[0])
        assert slow_scatter(EVEN, jump)[0] > bound
        assert find_scatter(EVEN, jump).deviation == pytest.approx(bound, rel=1e-6)


def test_values_of_rare_events_have_the_scatter_of_all() -> None:
    """Most neighbours are equal, which says nothing of the noise."""
    values = np.zeros(25)
    values[[3, 12]] = 1
    assert trimmed_deviation(EVEN, values) == 0
    assert find_scatter(EVEN, values).deviation == pytest.approx(slow_scatter(EVEN, values)[0], rel=1e-6)


@pytest.mark.parametrize("fall", [0.0, 20 * SIGMA])
def test_the_scatter_of_independent_noise_is_its_standard_deviation(fall: float) -> None:
    curve = fall * np.exp(-(EVEN - EVEN[0]) / 24_000)
    found = [find_scatter(EVEN, noisy(seed) + curve).deviation for seed in range(200)]
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(SIGMA, rel=0.1)


def test_residuals_of_noise_that_neighbours_share_correlate_more() -> None:
    apart, together = (
        np.mean([find_scatter(EVEN, noisy(seed, rho=rho)).correlation for seed in range(100)]) for rho in (0, 0.5)
    )
    assert apart < 0 < together


@pytest.mark.parametrize(("scale", "shift", "pace"), [(1e3, 0, 1), (1, -50, 1), (1, 0, 512), (-1, 0, 1)])
def test_the_scatter_scales_with_the_values_and_with_nothing_else(scale: float, shift: float, pace: int) -> None:
    one, other = find_scatter(EVEN, noisy()), find_scatter(EVEN * pace, scale * noisy() + shift)
    assert other.deviation == pytest.approx(abs(scale) * one.deviation, rel=1e-6)
    assert other.correlation == pytest.approx(one.correlation, abs=1e-6)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_few_checkpoints_have_no_scatter(n: int) -> None:
    assert find_scatter(EVEN[:n], noisy()[:n]) is None


def test_values_without_noise_have_that_of_rounding() -> None:
    for values in (np.full(25, 3.0), np.linspace(4, 3, 25)):
        assert 0 < find_scatter(EVEN, values).deviation < 1e-8
        assert rounding(values) == pytest.approx(1e-9 * values.max())


# Between neighbours


@pytest.mark.parametrize("steps", [EVEN, UNEVEN])
def test_residuals_are_from_the_line_through_both_neighbours(steps: Floats) -> None:
    values = noisy(n=len(steps))
    for i, residual in enumerate(between_neighbours(steps, values), 1):
        line = np.polyfit(steps[[i - 1, i + 1]], values[[i - 1, i + 1]], 1)
        u = (steps[i] - steps[i - 1]) / (steps[i + 1] - steps[i - 1])
        expected = (values[i] - np.polyval(line, steps[i])) / math.sqrt(1 + u**2 + (1 - u) ** 2)
        assert residual == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("estimate", [local_deviation, trimmed_deviation])
def test_both_estimates_are_the_standard_deviation_of_independent_noise(estimate: object) -> None:
    steps = np.arange(5000.0)
    assert estimate(steps, noisy(n=5000)) == pytest.approx(SIGMA, rel=0.05)
    jump = noisy(n=5000) + np.where(steps > 2500, 1.0, 0.0)
    assert estimate(steps, jump) == pytest.approx(SIGMA, rel=0.05)


# The part of a curve that is tested, and what strays


def test_a_metric_first_comes_near_its_best_where_it_first_is_as_near() -> None:
    values = np.array([9.0, 5.0, 3.3, 3.05, 3.0, 3.2, 6.0])
    assert [first_near(values, near) for near in (0.0, 0.05, 0.3, 2.5, 10.0)] == [4, 3, 2, 1, 0]


def test_steep_falls_do_not_show_noise() -> None:
    steep = np.where(EVEN < 40_000, 3 + 100 * SIGMA * (40_000 - EVEN) / 5000, 0) * (EVEN < 40_000)
    start = measurable_start(EVEN, noisy() + steep, 0.0)
    assert EVEN[start] >= 35_000
    assert measurable_start(EVEN, noisy(), 0.0) == 0
    assert measurable_start(EVEN, np.linspace(9, 3, 25), 0.0) == 17  # eight are left
    assert measurable_start(EVEN[:7], noisy()[:7] + steep[:7], 0.0) == 0


def test_a_single_foreign_value_strays() -> None:
    values = noisy()
    values[12] += 20 * SIGMA
    assert np.flatnonzero(straying(EVEN, values)).tolist() == [12]


def test_the_ends_a_jump_and_many_wild_values_do_not_stray() -> None:
    ends = noisy()
    ends[[0, 1, -2, -1]] += 20 * SIGMA
    jump = noisy() + np.where(EVEN > 60_000, 20 * SIGMA, 0)
    wild = noisy()
    wild[[4, 9, 14, 19]] += 20 * SIGMA
    for values in (ends, jump, wild, np.zeros(25), noisy()[:6]):
        assert not straying(EVEN[: len(values)], values).any()
