"""Verdicts on fewer than sixteen checkpoints."""

from __future__ import annotations

import re

import numpy as np
from simulated_curves import CurveKind, simulate_verdicts

from degen.metrics.curve import Curve
from degen.saturation.verdict import judge


def test_a_rise_of_few_checkpoints_says_which_one_it_rests_on() -> None:
    kind = CurveKind("normal", 12, "even", "plateau", "ramp")
    found = [v for v, _ in simulate_verdicts(kind, 60, 3) if v.verdict == "saturated"]
    resting = [v for v in found if v.support == 1]
    assert 5 < len(resting) < len(found)
    for v in resting:
        assert v.p_value < 0.05
        assert re.search(r"; rests on one checkpoint, step \d+: without it [\d.]+% of curves that never", v.reason)
    assert not any("rests on" in v.reason for v in found if v.support > 1)


def test_of_few_checkpoints_a_noisy_end_near_the_best_says_nothing() -> None:
    steps, fall = np.arange(1, 9) * 5000, 3 + 0.1 / np.sqrt(np.arange(1, 9))
    z = np.random.default_rng(1).normal(0, 1, 8)
    z[-1] = z.min() + 0.5
    for sigma, word in ((0.02, "undecided"), (0.002, "not_saturated")):
        verdict = judge(Curve("m", "loss", steps, fall + sigma * z, "min", 0.015))
        assert verdict.gap < verdict.curve.floor
        assert verdict.verdict == word, verdict
