from __future__ import annotations

import csv
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from degen.errors import DegenError
from degen.laws.law import HOFFMANN
from degen.metrics.curve import Curve
from degen.published import published_table
from degen.saturation.extrapolation import Extrapolation, extrapolate
from degen.saturation.final_and_best import default_larger

SIZES = {"14m": 14_000_000, "70m": 70_000_000, "410m": 405_000_000, "1b": 1_010_000_000, "3b": 2_780_000_000,
         "7b": 6_860_000_000, "12b": 11_850_000_000}  # fmt: skip
LARGER = ["410m", "1b", "3b", "7b", "12b"]
STEPS = np.array([0, 35_000, 70_000, 140_000])


def curve(model: str, values: Any = None, **others: Any) -> Curve:
    """Return a model that follows the law of Hoffmann et al., 2^21 tokens a step; infinite loss at step 0."""
    tokens = STEPS * 2.0**21
    with np.errstate(divide="ignore"):
        loss = HOFFMANN.loss(SIZES[model], tokens)
    arguments: dict[str, Any] = {"steps": STEPS, "tokens": tokens, "parameters": SIZES[model]} | others
    return Curve(model, "loss", values=loss if values is None else np.asarray(values), better="min", **arguments)


def suite(noise: float = 0.0, seed: int = 0) -> list[Curve]:
    draw = np.random.default_rng(seed)
    curves = [curve(model) for model in SIZES]
    return [replace(c, values=c.values * np.exp(draw.normal(0, noise, len(STEPS)))) for c in curves]


def pythia() -> list[Curve]:
    rows: dict[str, list[dict[str, str]]] = {}
    with published_table("pythia_pile_loss").open() as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["model"], []).append(row)
    return [
        Curve(
            model=model,
            metric="loss",
            steps=np.array([int(r["step"]) for r in points]),
            values=np.array([float(r["loss_nats"]) for r in points]),
            better="min",
            parameters=int(points[0]["total_params"]),
            tokens=np.array([float(r["tokens"]) for r in points]),
        )
        for model, points in rows.items()
    ]


# What it finds


def test_models_that_follow_the_law_have_no_gap() -> None:
    result = extrapolate(suite(), LARGER)
    assert [row.model for row in result.rows] == list(SIZES)
    assert [row.role for row in result.rows] == ["predicted"] * 2 + ["fitted"] * 5
    for row in result.rows:
        assert row.final_gap == pytest.approx(0, abs=1e-9)
        assert row.final_loss == pytest.approx(row.predicted_final, rel=1e-9)
        assert row.tokens == 140_000 * 2**21
    assert result.parameters["A"]["value"] == pytest.approx(HOFFMANN.A, rel=1e-6)
    assert result.parameters["E"] == {"value": 1.69, "low": 1.69, "high": 1.69}


def test_gaps_above_the_law_are_those_of_the_made_losses() -> None:
    """The best checkpoint is held against the law at its own tokens."""
    curves = suite()
    factors = np.array([1.0, 1.02, 0.99, 1.10])
    curves[0] = replace(curves[0], values=curves[0].values * factors)
    curves[1] = replace(curves[1], values=curves[1].values * np.array([1, 1, 1, 1.2]))
    result = extrapolate(curves, LARGER)
    small, second = result.rows[:2]
    assert (small.best_step, second.best_step) == (70_000, 70_000)
    assert (small.final_gap, small.best_gap) == pytest.approx((0.10, -0.01))
    assert (second.final_gap, second.best_gap) == pytest.approx((0.20, 0.0), abs=1e-8)
    assert result.mean_final_gap == pytest.approx(0.15)
    assert result.mean_best_gap == pytest.approx(-0.005)


def test_the_order_of_models_and_checkpoints_does_not_matter() -> None:
    curves = suite(0.01)
    turned = [
        replace(c, steps=c.steps[::-1], values=c.values[::-1], tokens=STEPS[::-1] * 2.0**21) for c in curves[::-1]
    ]
    assert extrapolate(turned, LARGER[::-1]).rows == extrapolate(curves, LARGER).rows


def test_the_first_of_equally_good_checkpoints_is_the_best() -> None:
    curves = [curve("14m", [9.0, 4.0, 4.0, 4.5]), *suite()[2:]]
    assert extrapolate(curves, LARGER).rows[0].best_step == 35_000


def test_constants_of_the_law_can_be_fixed() -> None:
    result = extrapolate(suite(), LARGER, fixed={"B": 410.7, "beta": 0.28})
    assert result.fit.free == ("A", "E", "alpha")
    assert result.parameters["E"]["value"] == pytest.approx(1.69, rel=1e-5)


# Intervals


def test_intervals_hold_where_the_law_goes_about_as_often_as_they_say() -> None:
    """Two models of a true gap of 8 %, 200 times, with noise of half a percent."""
    held = 0
    for seed in range(200):
        curves = suite(0.005, seed)
        curves[:2] = [replace(c, values=c.values * 1.08) for c in curves[:2]]
        for row in extrapolate(curves, LARGER).rows[:2]:
            held += row.final_gap_low <= 0.08 <= row.final_gap_high
    assert 0.85 <= held / 400 <= 0.95


@pytest.mark.parametrize("objective", ["log", "linear", "huber"])
def test_more_confidence_makes_wider_intervals_around_the_gap(objective: Any) -> None:
    wide, narrow = (
        extrapolate(suite(0.01), LARGER, objective=objective, confidence=c).rows[0] for c in (0.95, 0.5)
    )  # fmt: skip
    ends = wide.final_gap_low, narrow.final_gap_low, wide.final_gap, narrow.final_gap_high, wide.final_gap_high
    assert list(ends) == sorted(ends)  # type: ignore[type-var]
    assert None not in (wide.best_gap_low, wide.best_gap_high)


def test_fitted_models_have_residuals_and_no_intervals_of_prediction() -> None:
    result = extrapolate(suite(0.01), LARGER)
    fitted = [row for row in result.rows if row.role == "fitted"]
    assert [math.log1p(row.final_gap) for row in fitted] == pytest.approx(list(result.fit.residuals))
    assert {row.final_gap_low for row in fitted} == {None}
    assert result.no_interval is None


def test_without_degrees_of_freedom_there_are_no_intervals_and_a_reason() -> None:
    result = extrapolate(suite(0.01), ["7b", "12b"])
    assert result.no_interval == (
        "2 models for 2 fitted parameters leave nothing to tell the noise from: fit on more models"
    )
    assert result.rows[0].final_gap_low is None
    assert result.parameters["A"]["low"] is None
    assert result.parameters["B"]["low"] == HOFFMANN.B


# What cannot be used


def test_models_that_cannot_be_compared_with_the_law_are_left_out_with_the_reason() -> None:
    curves = suite()
    odd = [
        curve("14m", parameters=None),
        curve("70m", tokens=None),
        curve("410m", [9.0, 3.0, 2.9, math.nan]),
        curve("1b", tokens=np.array([0.0, 1e10, 2e10, math.nan])),
        curve("3b", [], steps=STEPS[:0], tokens=STEPS[:0] * 1.0),
    ]
    named = [replace(c, model=f"odd-{c.model}") for c in odd]
    result = extrapolate([*named, *curves], [*LARGER, "odd-410m"])
    assert result.left_out == [
        ("odd-14m", "its number of parameters is unknown"),
        ("odd-70m", "its training tokens are unknown"),
        ("odd-410m", "its last checkpoint has no finite loss"),
        ("odd-1b", "the training tokens of its last checkpoint are unknown"),
        ("odd-3b", "it has no checkpoints"),
    ]
    assert result.rows == extrapolate(curves, LARGER).rows


def test_checkpoints_without_a_loss_or_tokens_are_never_the_best() -> None:
    curves = [curve("14m", [1.0, math.nan, 4.1, 4.2]), *suite()[2:]]
    assert extrapolate(curves, LARGER).rows[0].best_step == 70_000


def test_without_anything_to_predict_there_is_no_mean() -> None:
    result = extrapolate(suite()[2:], LARGER)
    assert (result.mean_final_gap, result.mean_best_gap) == (None, None)


def test_wrong_models_and_confidences_are_refused() -> None:
    with pytest.raises(DegenError, match="no model '12B'; did you mean '12b'"):
        extrapolate(suite(), ["7b", "12B"])
    with pytest.raises(DegenError, match="no model 'opt'; there are 14m, 70m"):
        extrapolate(suite(), ["opt"])
    with pytest.raises(DegenError, match="confidence must lie between 0 and 1"):
        extrapolate(suite(), LARGER, confidence=90)
    with pytest.raises(DegenError, match="1 point cannot determine 2 parameters"):
        extrapolate(suite(), ["12b"])
    for nothing in ([], ["12b"]):
        with pytest.raises(DegenError, match="name some to fit on"):
            extrapolate([*suite()[:-1], curve("12b", parameters=None)], nothing)


# Which models are fitted on


def test_the_default_larger_models_are_the_healthy_ones_above_every_degenerated_one() -> None:
    curves = suite()[::-1]
    assert default_larger(curves, ["70m"]) == LARGER
    assert default_larger(curves, ["14m", "410m"]) == LARGER[1:]
    assert default_larger(curves, []) == list(SIZES)


def test_fewer_than_three_healthy_larger_models_are_no_default() -> None:
    assert default_larger(suite(), ["1b"]) == LARGER[2:]
    assert default_larger(suite(), ["3b"]) == []


def test_models_of_unknown_size_are_no_default_larger_models() -> None:
    curves = [*suite()[:-1], curve("12b", parameters=None)]
    assert default_larger(curves, ["410m"]) == ["1b", "3b", "7b"]
    assert default_larger(curves, ["12b"]) == []  # nobody knows which are larger than it


# The published figures


def test_the_small_models_of_pythia_end_8_percent_above_the_law_of_the_larger() -> None:
    curves = pythia()
    small = ["pythia-14m", "pythia-31m", "pythia-70m", "pythia-160m"]
    larger = default_larger(curves, small)
    assert larger == [f"pythia-{size}" for size in ("410m", "1b", "1.4b", "2.8b", "6.9b", "12b")]
    result = extrapolate(curves, larger)
    assert result.parameters["A"]["value"] == pytest.approx(118.66, abs=0.005)
    assert result.parameters["alpha"]["value"] == pytest.approx(0.2463, abs=5e-5)
    assert 100 * result.mean_final_gap == pytest.approx(8.4, abs=0.1)
    assert 100 * result.mean_best_gap == pytest.approx(4.5, abs=0.1)
    assert [row.best_step for row in result.rows[:4]] == [35_000, 50_000, 50_000, 75_000]
    assert above(result) == small


def test_the_law_of_the_paper_lies_within_the_interval() -> None:
    """A = 119.09 and α = 0.246, from the authors' unrounded losses."""
    curves = pythia()
    result = extrapolate(curves, [c.model for c in curves[4:]])
    for name, value in (("A", 119.09), ("alpha", 0.246)):
        low, high = result.parameters[name]["low"], result.parameters[name]["high"]
        assert low < value < high


def above(result: Extrapolation) -> list[str]:
    """Return the models whose final loss lies above the law beyond doubt."""
    return [row.model for row in result.rows if row.final_gap_low is not None and row.final_gap_low > 0]
