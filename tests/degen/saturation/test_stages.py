"""Verdicts on curves whose steps begin anew in each stage: they go by tokens, and say steps as names do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from degen.metrics.curve import Curve
from degen.saturation.result import SaturationResult
from degen.saturation.verdict import judge


def staged(metric: str = "loss") -> tuple[Curve, Curve]:
    """Return a curve of two stages that rises in the second, and the same one with tokens for steps."""
    steps = np.array([*range(1000, 21000, 1000), *range(1000, 21000, 1000)], dtype=np.int64)
    tokens = np.concatenate([np.arange(1, 21) * 4e9, 80e9 + np.arange(1, 21) * 2e9])
    values = 3 + np.exp(-np.arange(40) / 8) + np.where(np.arange(40) > 24, (np.arange(40) - 24) * 0.05, 0)
    values += np.random.default_rng(0).normal(0, 0.003, 40)
    curve = Curve("m", metric, steps, values, floor=0.01, tokens=tokens)
    return curve, replace(curve, steps=tokens.astype(np.int64), tokens=None)


def test_a_curve_over_stages_has_the_verdict_of_its_tokens() -> None:
    curve, by_tokens = staged()
    assert curve.by_tokens
    assert not by_tokens.by_tokens
    verdict, expected = judge(curve), judge(by_tokens)
    assert (verdict.verdict, verdict.gap, verdict.p_value) == ("saturated", expected.gap, expected.p_value)
    assert expected.best_step is not None
    assert verdict.best_step == curve.step_at(expected.best_step)
    assert verdict.final_step == 20_000
    assert verdict.onset == expected.onset
    (row,) = SaturationResult([verdict], None).rows()
    assert expected.onset is not None
    assert row["onset_tokens"] == pytest.approx(expected.onset.step)
    assert 80e9 < row["onset_tokens"] < 100e9
    assert row["onset_step"] == curve.step_at(expected.onset.step) <= 10_000  # a step of the second stage


def test_steps_that_go_back_are_refused_where_tokens_do_not_tell_their_order() -> None:
    curve, _ = staged()
    for tokens in (None, np.where(np.arange(40) == 7, np.nan, curve.tokens), curve.steps.astype(np.float64)):
        verdict = judge(replace(curve, tokens=tokens))
        assert verdict.verdict == "undecided"
        assert "stands twice" in verdict.reason
