from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from degen.arrays import Floats
from degen.saturation.evidence import evidence_of, evidence_unit
from degen.saturation.noise import find_scatter
from degen.saturation.null_quantiles import critical_evidence, p_value
from degen.saturation.rise import Rise, find_rise, rose_before
from degen.stats.window_contrasts import final_contrasts, lowest_window, mean_variance

SIGMA = 0.01
STEPS = np.arange(1, 26) * 5000
RAMP = np.clip((STEPS - 80_000) / 45_000, 0, None)


def noisy(seed: int = 0, n: int = 25) -> Floats:
    return 3 + np.random.default_rng(seed).normal(0, SIGMA, n)


def rise_of(values: Any, floor: float = 0.0, **options: Any) -> Rise:
    values = np.asarray(values, dtype=np.float64)
    rise = find_rise(options.pop("steps", STEPS[: len(values)]), values, floor, **options)
    return rise


# Against slow twins


def slow_evidence(row: Floats, unit: float) -> tuple[float, float]:
    """T with all values, and the least with each left out in turn."""
    each = [float(final_contrasts(np.delete(row, i)[None])[0]) for i in range(len(row))]
    return float(final_contrasts(row[None])[0]) / unit, min(each) / unit


@pytest.mark.parametrize("height", [0.0, 0.02, 0.05])
def test_the_p_value_is_of_the_least_evidence_without_each_checkpoint(height: float) -> None:
    for seed in range(6):
        values = noisy(seed) + height * RAMP
        rise = rise_of(values)
        scatter = find_scatter(STEPS.astype(np.float64), values)
        unit = scatter.deviation * math.exp(0.3 * np.clip(scatter.correlation, -0.5, 0.5))
        if rise.start > 0:
            near = find_scatter(STEPS[rise.start :].astype(np.float64), values[rise.start :])
            unit *= math.sqrt(max(1.0, near.deviation / scatter.deviation))
        whole, least = slow_evidence(values[rise.start :], unit)
        size = 25, 25 - rise.start
        assert not len(rise.strays)
        assert rise.noise == scatter.deviation
        assert rise.p_value == pytest.approx(p_value(least, "final", *size), rel=1e-9)
        assert (rise.support is not None) == (whole >= critical_evidence(0.05, "final", *size))


def test_the_support_is_how_many_must_be_left_out_each_time_the_one_that_matters_most() -> None:
    values = noisy(1) + 0.06 * RAMP
    rise = rise_of(values)
    scatter = find_scatter(STEPS.astype(np.float64), values)
    unit = scatter.deviation * math.exp(0.3 * np.clip(scatter.correlation, -0.5, 0.5))
    critical = critical_evidence(0.05, "final", 25, 25 - rise.start) * unit
    row, left_out = values[rise.start :], 0
    while float(final_contrasts(row[None])[0]) >= critical:
        row = min((np.delete(row, i) for i in range(len(row))), key=lambda one: float(final_contrasts(one[None])[0]))
        left_out += 1
    assert rise.support == left_out > 2


def test_the_level_is_of_the_last_three_above_the_lowest_window() -> None:
    values = noisy(2) + 0.05 * RAMP
    rise = rise_of(values)
    row = values[rise.start :]
    bottom = lowest_window(row)
    error = rise.noise * math.sqrt(mean_variance(3) + mean_variance(bottom.stop - bottom.start))
    assert rise.level == pytest.approx((row[-3:].mean() - row[bottom].mean()) / error)


@pytest.mark.parametrize("height", [0.0, 0.04, 0.08])
def test_with_few_checkpoints_one_may_add_to_the_evidence_of_the_others(height: float) -> None:
    few = np.arange(1, 13) * 5000
    ramp = np.clip((few - 40_000) / 20_000, 0, None)
    for seed in range(6):
        values = noisy(seed, 12) + height * ramp
        rise = rise_of(values, steps=few)
        scatter = find_scatter(few.astype(np.float64), values)
        unit = evidence_unit(scatter, 12)
        row, size = values[rise.start :], (12, 12 - rise.start)
        rests = np.array([float(evidence_of(np.delete(row, i)[None], few=True)[0]) for i in range(len(row))]) / unit
        assert rise.p_value == pytest.approx(p_value(float(evidence_of(row[None], few=True)[0]) / unit, "final", *size))
        assert rise.p_without == pytest.approx(p_value(rests.min(), "final", *size))
        if rise.p_value < 0.05:
            assert (rise.support == 1) == (rise.p_without >= 0.05)
        if rise.support == 1:
            assert rise.carrier == rise.start + int(np.argmin(rests))


# One checkpoint


def test_one_bad_last_value_is_no_rise_and_is_named() -> None:
    values = noisy(3)
    values[-1] += 20 * SIGMA
    rise = rise_of(values)
    assert (rise.support, rise.carrier) == (1, 24)
    assert rise.p_value > 0.05


def test_one_good_last_value_hides_a_rise_and_is_named() -> None:
    values = noisy(4) + np.where(STEPS > 105_000, 8 * SIGMA, 0)
    values[-1] = 3 - 12 * SIGMA
    rise = rise_of(values)
    assert (rise.support, rise.carrier) == (None, 24)


def test_one_lucky_best_is_left_out_unless_kept() -> None:
    values = noisy(5)
    values[14] -= 20 * SIGMA
    assert rise_of(values).strays.tolist() == [14]
    assert rise_of(values, keep_strays=True).strays.tolist() == []
    assert rise_of(values).p_value > 0.05


# Known noise


def test_few_checkpoints_are_compared_with_their_errors() -> None:
    values = [3.0, 2.0, 2.5, 4.0]
    assert find_rise(STEPS[:4], np.array(values), 0.0) is None
    assert rise_of(values, error=0.01).p_value == pytest.approx(0.001)
    assert rise_of(values, error=10.0).p_value > 0.2
    assert rise_of(values, error=0.01).noise == 0.01


def test_errors_do_not_count_where_the_scatter_shows_the_noise() -> None:
    values = noisy(6) + 0.05 * RAMP
    assert rise_of(values, error=1.0).p_value == rise_of(values).p_value < 0.05


def test_with_few_checkpoints_the_error_alone_is_the_noise() -> None:
    assert rise_of(noisy(7, 6), error=0.5).noise == 0.5
    assert rise_of(noisy(7, 6)).noise == find_scatter(STEPS[:6].astype(np.float64), noisy(7, 6)).deviation


# Rises that came back


def test_a_hump_is_a_rise_anywhere_and_none_to_the_end() -> None:
    values = noisy(8) + np.where((STEPS > 25_000) & (STEPS < 55_000), 10 * SIGMA, 0)
    rise = rise_of(values)
    assert rise.p_value > 0.05 > rise.p_hump
    assert rise.support_of_hump >= 2
    assert 25_000 < STEPS[rise.peak] < 55_000


def test_a_rise_in_the_middle_of_a_fall_is_seen() -> None:
    fall = 50 * SIGMA * np.exp(-STEPS / 60_000)
    hump = np.where((STEPS > 30_000) & (STEPS < 60_000), 12 * SIGMA, 0)
    assert rose_before(STEPS, noisy() + fall + hump, SIGMA, 0.05)
    assert not rose_before(STEPS, noisy() + fall, SIGMA, 0.05)
    assert not rose_before(STEPS[:4], noisy()[:4], SIGMA, 0.05)


# What it depends on


def test_p_values_of_plateaus_are_below_the_level_no_more_often_than_that() -> None:
    for n in (8, 25):
        p = np.array([rise_of(noisy(seed, n)).p_value for seed in range(300)])
        for level in (0.05, 0.2):
            assert np.mean(p < level) <= level + 0.02


def test_falls_have_larger_p_values_than_plateaus() -> None:
    fall = 3 + 12 * SIGMA * (STEPS / STEPS[-1]) ** -0.5
    p = np.array([rise_of(noisy(seed) + fall).p_value for seed in range(100)])
    assert np.mean(p < 0.05) <= 0.03


@pytest.mark.parametrize(("scale", "shift", "pace"), [(1000.0, -7.0, 1), (1.0, 0.0, 64)])
def test_unit_and_clock_change_nothing(scale: float, shift: float, pace: int) -> None:
    values = noisy(9) + 0.04 * RAMP
    one, other = rise_of(values, 0.01), rise_of(scale * values + shift, 0.01 * scale, steps=pace * STEPS)
    assert (other.p_value, other.p_hump) == pytest.approx((one.p_value, one.p_hump), rel=1e-4)
    assert (other.support, other.start, other.peak) == (one.support, one.start, one.peak)
    assert other.level == pytest.approx(one.level, rel=1e-4)
