"""Inputs on which verdicts were wrong: one checkpoint that decides, errors that checkpoints share, rare events."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from degen.metrics.curve import Curve
from degen.published import published_table
from degen.saturation import find_saturation
from degen.saturation.verdict import Verdict, judge

DATA = Path(__file__).parent / "data"


def verdict_on(name: str) -> Verdict:
    (verdict,) = find_saturation(DATA / f"{name}.csv").verdicts
    return verdict


# One checkpoint


def test_a_last_checkpoint_that_alone_is_bad_is_undecided_and_named() -> None:
    verdict = verdict_on("bad_last_checkpoint")
    assert (verdict.verdict, verdict.support, verdict.onset) == ("undecided", 1, None)
    assert "rests on one checkpoint: step 100000 alone makes a rise" in verdict.reason


def test_a_checkpoint_that_alone_is_good_is_left_out_and_named() -> None:
    verdict = verdict_on("lucky_best")
    assert (verdict.verdict, verdict.support) == ("not_saturated", 1)
    assert "one checkpoint, step 64000, strays from its neighbours and is left out" in verdict.reason


def test_a_copy_of_the_last_checkpoint_in_the_middle_is_no_recovery() -> None:
    verdict = verdict_on("copy_of_the_last")
    assert verdict.verdict == "not_saturated"
    assert "one checkpoint, step 28000, strays from its neighbours and is left out" in verdict.reason


# Errors


def test_errors_that_checkpoints_share_hide_no_rise() -> None:
    with_errors = verdict_on("shared_errors")
    curve = with_errors.curve
    without = judge(Curve("m", "loss", curve.steps, curve.values, "min", curve.floor))
    assert curve.errors.min() == 0.03
    assert with_errors.verdict == without.verdict == "saturated"
    assert (with_errors.p_value, with_errors.onset) == (without.p_value, without.onset)


def test_rare_events_do_not_look_like_a_loss_of_accuracy() -> None:
    """Exact match of a rate of 0.0005 on 1000 items, 200 courses of 25 checkpoints."""
    rng = np.random.default_rng(8)
    steps = np.arange(1, 26) * 4000
    curves = (Curve("m", "exact_match", steps, rng.binomial(1000, 0.0005, 25) / 1000, "max") for _ in range(200))
    assert Counter(judge(curve).verdict for curve in curves)["saturated"] <= 10


# The published losses


def pile(rows: slice) -> dict[str, Verdict]:
    """The verdicts on the Pile losses with some of each model's rows."""
    models: dict[str, list[dict[str, str]]] = {}
    with published_table("pythia_pile_loss").open() as file:
        for row in csv.DictReader(file):
            models.setdefault(row["model"], []).append(row)
    curves = {}
    for model, points in models.items():
        kept = points[rows]
        values = np.array([float(p["loss_nats"]) for p in kept])
        steps = np.array([int(p["step"]) for p in kept])
        curves[model] = judge(Curve(model, "loss", steps, values, "min", 0.005 * values.min() if len(values) else 0))
    return curves


def test_without_its_last_row_160m_has_not_recovered() -> None:
    verdict = pile(slice(None, -1))["pythia-160m"]
    assert verdict.verdict in ("saturated", "undecided")
    assert verdict.gap > 2 * verdict.curve.floor


@pytest.mark.parametrize("rows", [slice(None, None, 2), slice(1, None, 2)])
def test_with_every_second_row_no_verdict_turns_into_its_opposite(rows: slice) -> None:
    whole, thinned = pile(slice(None)), pile(rows)
    for model, verdict in whole.items():
        opposite = {"saturated": "not_saturated", "not_saturated": "saturated"}.get(verdict.verdict)
        assert thinned[model].verdict != opposite, model
