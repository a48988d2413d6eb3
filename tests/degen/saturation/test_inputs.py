"""Inputs on which verdicts were wrong: one checkpoint that decides, errors that checkpoints share, rare events."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

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
    assert f"rests on one checkpoint, step 100000: without it {100 * verdict.p_value:.2g}% of curves" in verdict.reason


def test_a_checkpoint_that_alone_is_good_is_left_out_and_named() -> None:
    verdict = verdict_on("lucky_best")
    assert verdict.verdict == "not_saturated"
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


# What was published

TABLES: dict[str, dict[str, Any]] = {
    "pythia_pile_loss": {},
    "pythia_head_singular_entropy": {},
    "pythia_wikitext_anisotropy": {"metrics": ["last_layer_anisotropy"]},
    "pythia_lm_eval": {"metrics": ["ppl", "acc"]},
}
OPPOSITES = ({"saturated", "not_saturated"}, {"saturated", "recovered"}, {"recovered", "not_saturated"})


def part(curve: Curve, rows: slice) -> Curve:
    """Some of the rows of a curve."""
    errors = None if curve.errors is None else curve.errors[rows]
    return Curve(curve.model, curve.metric, curve.steps[rows], curve.values[rows], curve.better, curve.floor, errors)


def test_without_its_last_row_160m_has_not_recovered() -> None:
    (curve,) = (
        v.curve for v in find_saturation(published_table("pythia_pile_loss")).verdicts if "160m" in v.curve.model
    )
    verdict = judge(part(curve, slice(None, -1)))
    assert verdict.verdict in ("saturated", "undecided")
    assert verdict.gap > 2 * verdict.curve.floor


@pytest.mark.parametrize("rows", [slice(None, None, 2), slice(1, None, 2)])
@pytest.mark.parametrize("name", TABLES)
def test_with_every_second_row_no_verdict_turns_into_its_opposite(name: str, rows: slice) -> None:
    for verdict in find_saturation(published_table(name), **TABLES[name]).verdicts:
        thinned = judge(part(verdict.curve, rows))
        assert {verdict.verdict, thinned.verdict} not in OPPOSITES, verdict.curve.model
