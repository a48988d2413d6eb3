from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from simulated_curves import RAMP, SHAPES, CurveKind, simulate_verdicts

from degen.arrays import Floats, Ints
from degen.saturation.noise import Noise
from degen.saturation.onset import Onset, find_onset
from degen.saturation.verdict import Verdict

STEPS = np.arange(1, 21) * 5000
UNEVEN = np.array([1, 2, 8, 64, 500, 2000, 9000, 20_000, 40_000, 45_000, 60_000, 80_000, 90_000, 100_000])


def noise(sigma: float, n: int = 20, freedom: float = math.inf) -> Noise:
    return Noise(sigma**2 * np.eye(n), freedom)


def hinge(steps: Ints, onset: float, fall: float = 0.2) -> Floats:
    """Return values that fall to an onset, then rise by 1 to the end."""
    ramp = np.clip(steps - onset, 0, None) / (steps[-1] - onset)
    return 3 + fall * np.exp(-np.minimum(steps, onset) / 10_000) + ramp


def noisy_hinge(sigma: float = 0.1, seed: int = 0) -> Floats:
    return hinge(STEPS, 52_000) + np.random.default_rng(seed).normal(0, sigma, 20)


def neighbours(steps: Ints, onset: float) -> tuple[int, int]:
    """Return the checkpoints on either side of an onset."""
    return int(steps[steps <= onset].max()), int(steps[steps > onset].min())


# Without noise


@pytest.mark.parametrize("fall", [0.0, 0.2])
@pytest.mark.parametrize("steps", [STEPS, UNEVEN])
def test_the_onset_of_a_hinge_without_noise_lies_between_the_checkpoints_around_it(steps: Ints, fall: float) -> None:
    for truth in (40_000, 42_500, 47_000, 55_100, 79_000, 81_000):
        onset = find_onset(steps, hinge(steps, truth, fall), noise(1e-9, len(steps)), 0.0)
        assert (onset.low, onset.high) == neighbours(steps, truth)
        assert onset.low <= onset.step <= onset.high


def test_the_onset_of_a_hinge_with_noise_as_large_as_its_rise_between_places_is_within() -> None:
    places, sizes, floors = range(40_000, 80_001, 1750), (0.01, 0.03, 0.1), (0.0, 0.3)
    for truth, sigma, floor in itertools.product(places, sizes, floors):
        onset = find_onset(STEPS, hinge(STEPS, truth), noise(sigma), floor)
        assert onset.low <= truth <= onset.high, (truth, sigma, floor)


@pytest.mark.parametrize("fall", [0.0, 0.2])
@pytest.mark.parametrize("steps", [STEPS, UNEVEN])
def test_the_onset_of_a_jump_is_the_gap_between_checkpoints_that_contains_it(steps: Ints, fall: float) -> None:
    for i in range(7, len(steps) - 1):
        for sigma in (1e-9, 1e-3):
            values = 3 - fall * np.minimum(np.arange(len(steps)), i) / i + (np.arange(len(steps)) > i)
            onset = find_onset(steps, values, noise(sigma, len(steps)), 0.0)
            assert (onset.low, onset.high) == (steps[i], steps[i + 1])
            assert steps[i] <= onset.step <= steps[i + 1]


def test_the_onset_of_a_collapse_that_flattens_out_is_its_start() -> None:
    collapse = 3 + 4 * (1 - np.exp(-np.clip(STEPS - 50_000, 0, None) / 8000))
    onset = find_onset(STEPS, collapse, noise(0.05), 0.1)
    assert (onset.low, onset.high) == (50_000, 55_000)


def test_an_onset_is_found_from_three_checkpoints() -> None:
    for values in ([3.0, 2.0, 9.0], [2.0, 2.0, 2.5], [1.0, 5.0, 9.0], [3.0, 9.0, 2.0], [9.0, 2.0, 1.0]):
        onset = find_onset(np.array([0, 100, 300]), np.array(values), noise(0.1, 3), 0.0)
        assert 0 <= onset.low <= onset.step <= onset.high <= 300
        assert onset.low < onset.high


# Against a slow twin


def slow_misfit(times: Floats, values: Floats, weights: Floats, onset: float) -> float:
    """Return R(τ) by a quadratic programme: falls down to a level, each 0 or more, then a slope of 0 or more.

    No level lies below all values.
    """
    from scipy.optimize import lsq_linear

    before = times <= onset
    falls = np.triu(np.ones((len(times), len(times))))[:, : before.sum()] * before[:, None]
    design = np.column_stack([np.ones(len(times)), falls, np.clip(times - onset, 0, None) / times[-1]])
    root = np.sqrt(weights)
    bounds = np.append(values.min(), np.zeros(design.shape[1] - 1)), np.inf
    return 2 * float(lsq_linear(root[:, None] * design, root * values, bounds=bounds, tol=1e-12).cost)


def test_the_interval_is_where_the_misfit_stays_below_its_bound() -> None:
    from scipy.stats import chi2

    sizes = np.linspace(0.05, 0.2, 20)
    values = hinge(STEPS, 52_000) + np.random.default_rng(1).normal(0, sizes)
    times, bound = STEPS.astype(np.float64), 1.5 * float(chi2.ppf(0.9, 1))
    result = find_onset(STEPS, values, Noise(np.diag(sizes**2), math.inf), 5.0)  # plain at nine tenths of the rise
    ends = [n for n in range(12, 21) if slow_onset(times[:n], values[:n], 1 / sizes[:n] ** 2, bound) == result]
    assert ends  # the first n checkpoints, up to where the rise is plain
    assert values[ends[0] - 1] > 3.6


def slow_onset(times: Floats, values: Floats, weights: Floats, bound: float) -> Onset:
    grid = [t + k / 8 * (u - t) for t, u in itertools.pairwise(times) for k in range(8)]
    misfits = np.array([slow_misfit(times, values, weights, candidate) for candidate in grid])
    fits = [(candidate, m) for candidate, m in zip(grid, misfits - misfits.min(), strict=True) if m <= bound]
    step = np.average([candidate for candidate, _ in fits], weights=[math.exp(-m / 2) for _, m in fits])
    return Onset(round(float(step)), neighbours(times, fits[0][0])[0], neighbours(times, fits[-1][0])[1])  # type: ignore[arg-type]


# What it depends on


@pytest.mark.parametrize(("scale", "shift"), [(1000.0, 0.0), (1e-3, 0.0), (1.0, -40.0), (7.0, 100.0)])
def test_values_in_another_unit_have_the_same_onset(scale: float, shift: float) -> None:
    for freedom in (math.inf, 12.5):
        plain = find_onset(STEPS, noisy_hinge(), noise(0.1, freedom=freedom), 0.2)
        other = find_onset(STEPS, scale * noisy_hinge() + shift, noise(scale * 0.1, freedom=freedom), scale * 0.2)
        assert (other.low, other.high) == (plain.low, plain.high)
        assert other.step == pytest.approx(plain.step, abs=2)


def test_an_onset_scales_and_shifts_with_the_steps() -> None:
    plain = find_onset(STEPS, noisy_hinge(), noise(0.1), 0.2)
    slow = find_onset(64 * STEPS, noisy_hinge(), noise(0.1), 0.2)
    late = find_onset(STEPS + 10**6, noisy_hinge(), noise(0.1), 0.2)
    assert (slow.low, slow.high) == (64 * plain.low, 64 * plain.high)
    assert slow.step == pytest.approx(64 * plain.step, abs=64)
    assert (late.low, late.high) == (10**6 + plain.low, 10**6 + plain.high)
    assert late.step == pytest.approx(10**6 + plain.step, abs=1)


@pytest.mark.parametrize("freedom", [math.inf, 6.0])
def test_more_confidence_makes_the_interval_of_an_onset_wider(freedom: float) -> None:
    for seed in range(20):
        values = noisy_hinge(0.2, seed)
        result = [find_onset(STEPS, values, noise(0.2, freedom=freedom), 0.0, c) for c in (0.5, 0.8, 0.9, 0.95, 0.99)]
        for narrow, wide in itertools.pairwise(result):
            assert wide.low <= narrow.low < narrow.high <= wide.high


def test_noise_of_uncertain_size_makes_the_interval_of_an_onset_wider() -> None:
    for seed in range(20):
        sure, unsure = (find_onset(STEPS, noisy_hinge(0.2, seed), noise(0.2, freedom=f), 0.0) for f in (math.inf, 3.0))
        assert unsure.low <= sure.low < sure.high <= unsure.high


def test_the_step_lies_within_its_interval_though_many_early_checkpoints_nearly_fit() -> None:
    for seed in range(60):
        values = 3 + np.random.default_rng(seed).normal(0, 0.3, len(UNEVEN)) + np.clip(UNEVEN - 60_000, 0, None) / 4e4
        onset = find_onset(UNEVEN, values, noise(0.3, len(UNEVEN)), 0.0, 0.5)
        assert onset.low <= onset.step <= onset.high


# Simulation


@pytest.fixture(scope="module")
def simulated() -> list[tuple[Verdict, float]]:
    """Return the verdicts on 204 curves with a ramp, evenly spaced, each with its true onset."""
    kinds = [CurveKind(shape, "even", RAMP, errors) for shape in SHAPES for errors in (True, False)]
    return [pair for kind in kinds for pair in simulate_verdicts(kind, 34, 0)]


def onsets(simulated: list[tuple[Verdict, float]]) -> list[tuple[Onset, float]]:
    return [(v.onset, true) for v, true in simulated if v.onset is not None]


def test_nine_of_ten_intervals_hold_the_true_onset(simulated: Any) -> None:
    result = onsets(simulated)
    assert len(result) > 180
    covered = np.mean([onset.low <= true <= onset.high for onset, true in result])
    assert covered >= 0.85


def test_the_step_lies_within_every_interval_and_near_the_truth(simulated: Any) -> None:
    result = onsets(simulated)
    assert all(onset.low <= onset.step <= onset.high for onset, _ in result)
    assert abs(np.median([onset.step - true for onset, true in result])) < 0.05 * 125_000
