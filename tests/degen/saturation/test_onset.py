from __future__ import annotations

import itertools

import numpy as np
import pytest
from simulated_curves import RISES, CurveKind, simulate_verdicts

from degen.arrays import Floats, Ints
from degen.metrics.curve import Curve
from degen.saturation.onset import Onset, find_onset
from degen.saturation.verdict import judge

STEPS = np.arange(1, 21) * 5000
UNEVEN = np.array([1, 2, 8, 64, 500, 2000, 9000, 20_000, 40_000, 45_000, 60_000, 80_000, 90_000, 100_000])


def hinge(steps: Ints, place: float, fall: float = 0.2) -> Floats:
    """Falls to a place, then rises by 1 to the end."""
    ramp = np.clip(steps - place, 0, None) / (steps[-1] - place)
    return 3 + fall * np.exp(-np.minimum(steps, place) / 10_000) + ramp


def noisy_hinge(sigma: float = 0.1, seed: int = 0) -> Floats:
    return hinge(STEPS, 52_000) + np.random.default_rng(seed).normal(0, sigma, 20)


def around(steps: Ints, place: float) -> tuple[int, int]:
    """The checkpoints on either side of a place."""
    return int(steps[steps <= place].max()), int(steps[steps > place].min())


# Without noise


@pytest.mark.parametrize("fall", [0.0, 0.2])
@pytest.mark.parametrize("steps", [STEPS, UNEVEN])
def test_the_onset_of_a_hinge_without_noise_lies_between_the_checkpoints_around_it(steps: Ints, fall: float) -> None:
    for place in (40_000, 42_500, 47_000, 55_100, 79_000, 81_000):
        onset = find_onset(steps, hinge(steps, place, fall), 1e-9, 0.0)
        low, high = around(steps, place)
        assert onset.low <= low < high <= onset.high
        if not fall:
            assert (onset.low, onset.high) == (low, high)
        assert onset.low <= onset.step <= onset.high


def test_the_onset_of_a_hinge_with_noise_as_large_as_its_rise_between_places_is_within() -> None:
    places, sizes, floors = range(40_000, 80_001, 1750), (0.01, 0.03, 0.1), (0.0, 0.3)
    for place, sigma, floor in itertools.product(places, sizes, floors):
        onset = find_onset(STEPS, hinge(STEPS, place), sigma, floor)
        assert onset.low <= place <= onset.high, (place, sigma, floor)


@pytest.mark.parametrize("fall", [0.0, 0.2])
@pytest.mark.parametrize("steps", [STEPS, UNEVEN])
def test_the_onset_of_a_jump_is_the_gap_that_it_is_in(steps: Ints, fall: float) -> None:
    for i in range(7, len(steps) - 1):
        for sigma in (1e-9, 1e-3):
            values = 3 - fall * np.minimum(np.arange(len(steps)), i) / i + (np.arange(len(steps)) > i)
            onset = find_onset(steps, values, sigma, 0.0)
            assert steps[i - 1] <= onset.low <= steps[i]
            assert onset.high == steps[i + 1]
            assert steps[i] <= onset.step <= steps[i + 1]


def test_a_collapse_that_flattens_out_begins_where_it_begins() -> None:
    collapse = 3 + 4 * (1 - np.exp(-np.clip(STEPS - 50_000, 0, None) / 8000))
    onset = find_onset(STEPS, collapse, 0.05, 0.1)
    assert 45_000 <= onset.low <= 50_000 < onset.high == 55_000


def test_three_checkpoints_are_enough() -> None:
    for values in ([3.0, 2.0, 9.0], [2.0, 2.0, 2.5], [1.0, 5.0, 9.0], [3.0, 9.0, 2.0], [9.0, 2.0, 1.0]):
        onset = find_onset(np.array([0, 100, 300]), np.array(values), 0.1, 0.0)
        assert 0 <= onset.low <= onset.step <= onset.high <= 300
        assert onset.low < onset.high


# Against a slow twin


def slow_misfit(times: Floats, values: Floats, place: float, power: float) -> float:
    """R(τ) by non-negative least squares: a level of either sign, a fall of each shape and a rise, both 0 or more."""
    from scipy.optimize import nnls

    span = times[-1] - times[0]
    after = np.clip(times - place, 0, None) / span
    rise = (after > 0).astype(float) if power == 0 else after**power
    before = (np.minimum(times, place) - times[0]) / span
    lines = (-np.minimum(before, share * (place - times[0]) / span) for share in (0.25, 0.5, 0.75, 1.0))
    sums = []
    for fall in (*lines, *(np.exp(-before / decay) for decay in (0.02, 0.05, 0.1, 0.2, 0.4))):
        level = np.ones(len(times))
        sums.append(float(nnls(np.column_stack([level, -level, fall, rise]), values)[1]) ** 2)
    return min(sums)


def slow_onset(times: Floats, values: Floats, sigma: float, bound: float) -> Onset:
    grid = [t + k / 8 * (u - t) for t, u in itertools.pairwise(times) for k in range(8)]
    powers = (0.0, 0.5, 1.0, 2.0)
    misfits = np.array([[slow_misfit(times, values, place, q) for q in powers] for place in grid]) / sigma**2
    least = misfits.min(axis=1)
    fits = [i for i in range(len(grid)) if least[i] <= least.min() + bound]
    central = misfits[fits][:, 1:3]
    weights = np.exp(-(central - central.min()) / 2).sum(axis=1)
    step = np.average([grid[i] for i in fits], weights=weights)
    return Onset(round(float(step)), around(times, grid[fits[0]])[0], around(times, grid[fits[-1]])[1])


def test_the_interval_is_where_the_misfit_stays_below_its_bound() -> None:
    from scipy.stats import norm

    values = noisy_hinge(0.1, 1)
    times, bound = STEPS.astype(np.float64), 3.0 * float(norm.ppf(0.95)) ** 2
    result = find_onset(STEPS, values, 0.1, 5.0)  # certain at nine tenths of the rise
    end = next(n for n in range(12, 21) if slow_onset(times[:n], values[:n], 0.1, bound) == result)
    assert values[end - 1] > 3.6  # the first n checkpoints, up to where the rise is certain


def test_a_fall_that_ends_long_before_the_rise_is_not_taken_for_its_onset() -> None:
    """A line that ends sharply at two fifths, a ramp from two thirds: with noise, and without."""
    times = STEPS / STEPS[-1]
    values = 3 + np.clip(0.4 - times, 0, None) + np.clip(times - 0.66, 0, None)
    onset = find_onset(STEPS, values, 1e-3, 0.0)
    assert 50_000 <= onset.low <= 66_000 <= onset.high == 70_000
    results = list(simulate_verdicts(CurveKind("AR .5", 12, "even", "line", "ramp"), 60, 1))
    held = [v.onset.low <= true <= v.onset.high for v, true in results if v.onset is not None]
    assert len(held) > 45
    assert np.mean(held) >= 0.8


@pytest.mark.parametrize("checkpoints", [25, 40])
@pytest.mark.parametrize("depth", [120, 250])
def test_a_deep_fall_that_ends_early_does_not_decide_where_the_rise_began(depth: int, checkpoints: int) -> None:
    """A line down by many deviations, a level, and a ramp of eight: end and onset at no share of one another."""
    rng, steps, held = np.random.default_rng(checkpoints), np.arange(1, checkpoints + 1) * 1000, []
    for _ in range(30):
        end, place = rng.uniform([0.15, 0.55], [0.45, 0.75]) * steps[-1]
        shape = depth * np.clip(1 - steps / end, 0, None) + 8 * np.clip((steps - place) / (steps[-1] - place), 0, None)
        verdict = judge(Curve("m", "loss", steps, 3 + 0.01 * (shape + rng.normal(size=checkpoints)), "min", 0.015))
        if verdict.onset is not None:
            held.append(verdict.onset.low <= place <= verdict.onset.high)
    assert len(held) >= 25
    assert np.mean(held) >= 0.85


# What it depends on


@pytest.mark.parametrize(("scale", "shift"), [(1000.0, 0.0), (1e-3, 0.0), (1.0, -40.0), (7.0, 100.0)])
def test_values_in_another_unit_have_the_same_onset(scale: float, shift: float) -> None:
    one = find_onset(STEPS, noisy_hinge(), 0.1, 0.2)
    other = find_onset(STEPS, scale * noisy_hinge() + shift, scale * 0.1, scale * 0.2)
    assert (other.low, other.high) == (one.low, one.high)
    assert other.step == pytest.approx(one.step, abs=2)


def test_an_onset_scales_and_shifts_with_the_steps() -> None:
    one = find_onset(STEPS, noisy_hinge(), 0.1, 0.2)
    slow = find_onset(64 * STEPS, noisy_hinge(), 0.1, 0.2)
    late = find_onset(STEPS + 10**6, noisy_hinge(), 0.1, 0.2)
    assert (slow.low, slow.high) == (64 * one.low, 64 * one.high)
    assert slow.step == pytest.approx(64 * one.step, abs=64)
    assert (late.low, late.high) == (10**6 + one.low, 10**6 + one.high)
    assert late.step == pytest.approx(10**6 + one.step, abs=1)


def test_more_confidence_and_more_noise_make_a_wider_interval() -> None:
    for seed in range(20):
        values = noisy_hinge(0.2, seed)
        result = [find_onset(STEPS, values, 0.2, 5.0, c) for c in (0.5, 0.8, 0.9, 0.95, 0.99)]
        result.append(find_onset(STEPS, values, 0.4, 5.0, 0.99))
        for narrow, wide in itertools.pairwise(result):
            assert wide.low <= narrow.low < narrow.high <= wide.high


def test_the_step_lies_within_its_interval_though_many_early_checkpoints_nearly_fit() -> None:
    for seed in range(60):
        values = 3 + np.random.default_rng(seed).normal(0, 0.3, len(UNEVEN)) + np.clip(UNEVEN - 60_000, 0, None) / 4e4
        onset = find_onset(UNEVEN, values, 0.3, 0.0, 0.5)
        assert onset.low <= onset.step <= onset.high


# Simulation


@pytest.mark.parametrize("form", RISES)
def test_nine_of_ten_intervals_hold_the_true_onset_whatever_its_shape(form: str) -> None:
    results = [
        (verdict.onset, true)
        for fall in ("plateau", "power law")
        for verdict, true in simulate_verdicts(CurveKind("normal", 60, "even", fall, f"onset {form}"), 40, 1)
        if verdict.onset is not None
    ]
    assert len(results) > 60
    assert np.mean([onset.low <= true <= onset.high for onset, true in results]) >= 0.85
    assert all(onset.low <= onset.step <= onset.high for onset, _ in results)
