from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from simulated_curves import SHAPES, CurveKind, simulate_verdicts

from degen.metrics.curve import Better, Curve
from degen.saturation.verdict import Verdict, judge

STEPS = np.arange(1, 26) * 5000
SIGMA = 0.01
FLOOR = 0.015
NOISE = np.random.default_rng(3).normal(0, SIGMA, 25)
FALL = 3 + 0.3 * np.exp(-STEPS / 15_000)
RISE = np.clip((STEPS - 80_000) / 45_000, 0, None)
HUMP = np.exp(-(((STEPS - 75_000) / 14_000.0) ** 2))


def curve(values: Any, steps: Any = None, better: Better = "min", floor: float = FLOOR, errors: Any = None) -> Curve:
    values = np.asarray(values, dtype=np.float64)
    steps = np.asarray(STEPS[: len(values)] if steps is None else steps, dtype=np.int64)
    return Curve("m", "loss", steps, values, better, floor, None if errors is None else np.asarray(errors, float))


def turned(c: Curve) -> Curve:
    """The same with the sign of the values and the better way turned."""
    other: Better = "max" if c.better == "min" else "min"
    return Curve(c.model, c.metric, c.steps, -c.values, other, c.floor, c.errors)


SATURATED = curve(FALL + 0.08 * RISE + NOISE)
RECOVERED = curve(FALL + 0.2 * HUMP + NOISE)
FALLING = curve(3 + 0.5 * (STEPS / 125_000) ** -0.5 + NOISE)
WEAK = curve(3 + 0.02 * RISE + np.random.default_rng(18).normal(0, SIGMA, 25), floor=0.001)


# Curves without a verdict


@pytest.mark.parametrize("errors", [False, True])
@pytest.mark.parametrize(
    ("values", "steps", "message"),
    [
        ([], [], "no checkpoint"),
        ([3.0], [100], "1 checkpoint with a value; 3 are needed"),
        ([3.0, 2.0], [100, 200], "2 checkpoints with a value; 3 are needed"),
        ([math.nan, 3.0, 2.0], [100, 150, 200], "2 checkpoints with a value; 3 are needed"),
        ([9.0, 3.0, 2.0], [1, 150, 200], "2 checkpoints with a value after the first 5% of training; 3 are needed"),
        ([math.nan] * 3, [1, 150, 200], "no checkpoint has a value"),
        ([2.5] * 6, range(10, 70, 10), "all 6 values are 2.5; a metric that never moves says nothing"),
        ([0.0] * 6, range(10, 70, 10), "all 6 values are 0; a metric that never moves says nothing"),
        ([4.0, 3.0, 2.0, 5.0], [10, 30, 20, 40], "step 20 stands behind 30; if it is one run and not two, --sort"),
        ([4.0, 3.0, 2.0, 5.0], [10, 20, 20, 40], "step 20 stands twice; keep one of its rows, or tell them apart"),
        ([4.0, 3.0, 2.0, 5.0], [20, 40, 10, 20], "step 20 stands twice"),
        ([4.0, 3.0, 2.0, math.nan], [10, 20, 30, 40], "the last checkpoint, step 40, has no value"),
        ([4.0, 3.0, math.inf], [10, 20, 30], "the last checkpoint, step 30, has no value"),
        ([4.0, 3.0, math.nan], [1, 2, 1000], "the last checkpoint, step 1000, has no value"),
    ],
)
def test_curves_without_information_are_undecided_with_the_reason(
    values: Any, steps: Any, message: str, errors: bool
) -> None:
    made = curve(values, steps, errors=np.full(len(values), 0.1) if errors else None)
    for better in (made, turned(made)):
        verdict = judge(better)
        assert verdict.verdict == "undecided"
        assert verdict.reason.replace("-2.5", "2.5").replace("-0;", "0;").startswith(message)
        assert verdict.best_step is verdict.p_value is verdict.onset is verdict.final_value is None
        assert verdict.checkpoints <= int(np.isfinite(made.values).sum())


@pytest.mark.parametrize("n", [3, 4])
def test_few_checkpoints_need_standard_errors(n: int) -> None:
    values = [3.0, 2.0, 2.5, 4.0][:n]
    without = judge(curve(values))
    assert without.verdict == "undecided"
    assert without.reason == f"{n} checkpoints show no noise to compare with; 5 would, or standard errors"
    unknown = judge(curve(values, errors=[0.1, math.nan, 0.1, 0.1][:n]))
    assert unknown.reason == without.reason
    known = judge(curve(values, errors=[0.01] * n))
    assert known.verdict == ("saturated" if n == 4 else "undecided")  # of three, one carries any rise
    assert (known.noise, known.best_step) == (pytest.approx(0.01), 10_000)
    assert judge(curve(values, errors=[10.0] * n)).verdict != "saturated"


def test_five_checkpoints_are_judged_without_errors() -> None:
    verdict = judge(curve([3.0, 2.9, 2.85, 2.81, 2.8]))
    assert (verdict.verdict, verdict.reason, verdict.p_value) == ("not_saturated", "ends at its best", 1.0)


def test_missing_values_in_the_middle_are_left_out_and_counted_in_the_reason() -> None:
    for missing, message in (([7], "; 1 checkpoint without a value left out"), ([7, 8, 20], "; 3 checkpoints without")):
        values = SATURATED.values.copy()
        values[missing] = math.nan
        judged_curve = judge(curve(values))
        kept = np.delete(np.arange(25), missing)
        alone = judge(curve(SATURATED.values[kept], STEPS[kept]))
        assert message in judged_curve.reason
        assert judged_curve.reason.startswith(alone.reason)
        assert "left out" not in alone.reason
        assert (judged_curve.verdict, judged_curve.p_value, judged_curve.onset, judged_curve.checkpoints) == (
            "saturated",
            alone.p_value,
            alone.onset,
            alone.checkpoints,
        )


def test_missing_values_take_their_errors_and_covariances_along() -> None:
    values, covariance = SATURATED.values.copy(), SIGMA**2 * np.eye(25) + 0.1
    values[5] = covariance[5] = covariance[:, 5] = math.nan
    errors = np.sqrt(np.diag(covariance))
    kept = np.delete(np.arange(25), 5)
    whole = Curve("m", "loss", STEPS, values, "min", FLOOR, errors, covariance)
    part = Curve("m", "loss", STEPS[kept], values[kept], "min", FLOOR, errors[kept], covariance[np.ix_(kept, kept)])
    judged_curve, alone = judge(whole), judge(part)
    assert judged_curve.verdict == "saturated"
    assert (judged_curve.p_value, judged_curve.onset, judged_curve.noise) == (alone.p_value, alone.onset, alone.noise)


# The four words


def test_a_curve_that_rises_and_stays_is_saturated() -> None:
    verdict = judge(SATURATED)
    assert verdict.verdict == "saturated"
    assert verdict.p_value < 0.01
    assert verdict.reason == f"ends {verdict.gap:.3g} above its best"
    assert verdict.onset.low <= 80_000 <= verdict.onset.high
    assert verdict.noise == pytest.approx(SIGMA, rel=0.5)


def test_a_curve_that_comes_back_has_recovered() -> None:
    verdict = judge(RECOVERED)
    assert verdict.verdict == "recovered"
    late = RECOVERED.values[4:]
    worst = int(np.argmax(late - np.minimum.accumulate(late)))
    hump = float(late[worst] - late[: worst + 1].min())
    assert verdict.reason.startswith(f"was {hump:.3g} above its best at step {STEPS[4 + worst]}, ends ")
    assert verdict.onset.high <= STEPS[4 + worst]


def test_a_curve_that_falls_to_the_end_is_not_saturated() -> None:
    verdict = judge(FALLING)
    assert verdict.verdict == "not_saturated"
    assert verdict.onset is None
    assert verdict.p_value > 0.3


def test_a_rise_that_could_be_noise_is_undecided() -> None:
    verdict = judge(WEAK)
    assert verdict.verdict == "undecided"
    assert 0.05 <= verdict.p_value < 0.5
    assert verdict.gap > WEAK.floor
    assert verdict.onset is None
    message = f"ends {verdict.gap:.3g} above its best, as {verdict.p_value:.0%} of curves that never get worse do"
    assert verdict.reason.startswith(message)


def test_the_numbers_of_a_verdict_are_those_of_the_curve() -> None:
    for made in (SATURATED, RECOVERED, FALLING, WEAK):
        verdict, best = judge(made), int(np.argmin(made.values))
        assert verdict.curve is made
        assert (verdict.best_step, verdict.best_value) == (STEPS[best], made.values[best])
        assert (verdict.final_step, verdict.final_value) == (STEPS[-1], made.values[-1])
        assert verdict.gap == made.values[-1] - made.values[best] >= 0
        assert verdict.checkpoints == 24  # the first is of the first twentieth of training


@pytest.mark.parametrize("errors", [None, np.full(25, SIGMA)])
@pytest.mark.parametrize("made", [SATURATED, RECOVERED, FALLING, WEAK])
def test_a_metric_that_is_better_when_larger_has_the_same_verdict_upside_down(made: Curve, errors: Any) -> None:
    made = curve(made.values, floor=made.floor, errors=errors)
    one, other = judge(made), judge(turned(made))
    assert other.reason == one.reason.replace("above", "below")
    for name in ("verdict", "best_step", "final_step", "p_value", "onset", "checkpoints", "gap", "noise"):
        assert getattr(other, name) == getattr(one, name)
    assert (other.best_value, other.final_value) == (-float(one.best_value or 0), -float(one.final_value or 0))


@pytest.mark.parametrize("made", [SATURATED, RECOVERED, FALLING, WEAK])
def test_another_unit_and_another_clock_change_no_verdict(made: Curve) -> None:
    one = judge(made)
    unit = judge(curve(1000 * made.values, floor=1000 * made.floor))
    clock = judge(curve(made.values, 64 * STEPS, floor=made.floor))
    assert unit.verdict == clock.verdict == one.verdict
    assert (unit.p_value, clock.p_value) == pytest.approx((one.p_value, one.p_value), rel=1e-6)
    if one.onset is not None:
        assert (unit.onset.low, unit.onset.high) == (one.onset.low, one.onset.high)
        assert (clock.onset.low, clock.onset.high) == (64 * one.onset.low, 64 * one.onset.high)


def test_a_jump_at_the_end_of_a_quiet_curve_is_saturated() -> None:
    verdict = judge(curve(np.where(STEPS > 100_000, 5.0, 3.0) + NOISE))
    assert verdict.verdict == "saturated"
    assert 95_000 <= verdict.onset.low <= 100_000 < verdict.onset.high == 105_000


# Floors, levels, beginnings


def test_a_rise_beyond_chance_and_below_the_floor_does_not_matter() -> None:
    gap = judge(SATURATED).gap
    above, below = (judge(curve(SATURATED.values, floor=f)) for f in (0.9 * gap, 1.1 * gap))
    assert (above.verdict, below.verdict) == ("saturated", "not_saturated")
    assert judge(curve(SATURATED.values, floor=gap)).verdict == "saturated"  # as much as matters
    assert below.p_value < 0.05
    assert below.onset is None
    assert below.reason == f"ends {gap:.3g} above its best, less than the {1.1 * gap:.3g} that matter"


def test_a_hump_below_the_floor_does_not_matter() -> None:
    assert judge(curve(RECOVERED.values, floor=0.1)).verdict == "recovered"
    assert judge(curve(RECOVERED.values, floor=0.3)).verdict == "not_saturated"


def test_without_a_floor_a_hump_that_came_back_within_the_noise_has_recovered() -> None:
    """Also where no rise would be seen without its highest checkpoint."""
    rng = np.random.default_rng(109)
    values = 3 + rng.normal(0, SIGMA, 25)
    first = rng.integers(8, 18)
    values[first : first + rng.integers(1, 4)] += rng.uniform(0.02, 0.2)
    verdict = judge(curve(values, floor=0))
    assert verdict.verdict == "recovered"
    assert 0 < verdict.gap <= verdict.noise


def test_the_level_bounds_the_p_value() -> None:
    p = judge(WEAK).p_value
    assert judge(WEAK, level=1.5 * p).verdict == "saturated"
    assert judge(WEAK, level=0.5 * p).verdict == "undecided"


def test_confidence_makes_the_interval_wider_and_no_other_verdict() -> None:
    low, high = judge(SATURATED, confidence=0.5), judge(SATURATED, confidence=0.99)
    assert low.p_value == high.p_value
    assert high.onset.low <= low.onset.low < low.onset.high <= high.onset.high


def test_the_correlation_of_neighbours_widens_the_onset_from_thirty_two_checkpoints_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = np.random.default_rng(0).normal(0, SIGMA, 34)
    noise = draw[:-1] + 0.8 * draw[1:]
    made = curve(3 + 0.01 * np.clip(np.arange(33) - 12, 0, None) + noise, np.arange(1, 34) * 5000)
    wide = judge(made)
    monkeypatch.setattr("degen.saturation.verdict.MANY", 33)
    narrow = judge(made)
    assert (wide.verdict, narrow.verdict, wide.checkpoints) == ("saturated", "saturated", 32)  # the first is left out
    assert wide.onset.high - wide.onset.low > narrow.onset.high - narrow.onset.low


@pytest.mark.parametrize("errors", [None, np.full(25, SIGMA)])
def test_a_spike_in_the_first_steps_of_training_is_no_recovery(errors: Any) -> None:
    """Long before the best, above the best so far, beyond the first twentieth as well."""
    values = 3 + 3 * np.exp(-STEPS / 20_000) + NOISE
    plain = judge(curve(values, errors=errors))
    assert plain.verdict == "not_saturated"
    values[1] += 4
    spiked = judge(curve(values, errors=errors))
    assert spiked.verdict == "not_saturated"


def test_the_beginning_is_left_out_without_mention() -> None:
    """The geometry of a model that has learnt nothing is at its best."""
    steps = np.append([1, 2, 4, 8, 16, 512], STEPS)
    values = np.append(np.zeros(6), 0.5 + NOISE)
    verdict = judge(curve(values, steps))
    assert (verdict.verdict, verdict.checkpoints) == (judge(curve(0.5 + NOISE)).verdict, 24)
    assert "left out" not in verdict.reason
    assert judge(curve(values, steps), after=0.0).verdict == "saturated"
    assert judge(curve(values, steps), after=0.0).checkpoints == 31


def test_step_0_counts_with_after_0() -> None:
    steps, values = np.append(0, STEPS), np.append(10.0, SATURATED.values)
    assert judge(curve(values, steps), after=0.0).checkpoints == 26
    assert judge(curve(values, steps), after=0.0).verdict == "saturated"


def test_curves_without_noise_are_judged() -> None:
    """Values as they were rounded, with nothing between neighbours."""
    rises = judge(curve(np.where(STEPS > 100_000, 0.5, 0.25)))
    assert (rises.verdict, rises.gap) == ("saturated", 0.25)
    falls = judge(curve(np.where(STEPS > 100_000, 0.25, 0.5)))
    assert (falls.verdict, falls.reason) == ("not_saturated", "ends at its best")
    assert judge(curve(np.linspace(4, 3, 25))).verdict == "not_saturated"
    assert judge(curve(np.where(STEPS > 100_000, 0.5, 0.25), errors=np.zeros(25))).verdict == "saturated"


def test_a_curve_that_only_rises_is_saturated_since_its_first_checkpoints() -> None:
    verdict = judge(curve(3 + 0.5 * STEPS / 125_000 + NOISE))
    assert verdict.verdict == "saturated"
    assert verdict.onset.low == 10_000  # the first that counts


# Simulation


def simulated(change: str, number: int) -> list[Verdict]:
    """Curves of bench/saturation.py with 25 evenly spaced checkpoints, of all falls and of several kinds of noise."""
    kinds = ("normal", "AR .3", "t3", "growing", "errors", "shared errors")
    cases = [CurveKind(kind, 25, "even", shape, change) for shape in SHAPES for kind in kinds]
    return [verdict for case in cases for verdict, _ in simulate_verdicts(case, number, 0)]


def share(verdicts: list[Verdict], word: str) -> float:
    return Counter(v.verdict for v in verdicts)[word] / len(verdicts)


def test_at_most_one_in_twenty_curves_that_never_get_worse_is_called_saturated() -> None:
    judged_curve = simulated("none", 20)
    assert share(judged_curve, "saturated") <= 0.05
    assert share(judged_curve, "recovered") <= 0.05
    assert all(v.onset is None for v in judged_curve if v.verdict in ("not_saturated", "undecided"))


@pytest.mark.parametrize("kind", ["normal", "shared errors", "AR .5"])
def test_ramps_of_five_deviations_are_found_with_more_than_one_checkpoint(kind: str) -> None:
    found = [verdict for verdict, _ in simulate_verdicts(CurveKind(kind, 25, "even", "plateau", "ramp"), 60, 0)]
    assert share(found, "saturated") >= 0.9
    assert share(found, "not_saturated") == 0
    assert all(v.support >= 2 for v in found if v.verdict == "saturated")


@pytest.mark.parametrize("n", [16, 25])
def test_a_volatile_collapse_does_not_hide_itself(n: int) -> None:
    found = [verdict for verdict, _ in simulate_verdicts(CurveKind("normal", n, "even", "plateau", "collapse"), 60, 0)]
    assert share(found, "saturated") >= (0.6 if n == 16 else 0.8)


def test_the_ramp_of_eight_checkpoints_is_never_called_healthy() -> None:
    found = [verdict for verdict, _ in simulate_verdicts(CurveKind("normal", 8, "even", "plateau", "ramp"), 60, 0)]
    assert {v.verdict for v in found} <= {"saturated", "undecided"}
