from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_points import KAPLAN, holds, kaplan, points_of

from degen.errors import DegenError
from degen.scaling.kaplan import fit_kaplan
from degen.scaling.kaplan_forms import FORMS
from degen.stats.bootstrap import Bootstrap

NONE = Bootstrap(draws=0)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_recovers_published_constants_without_noise(form: str) -> None:
    fit = fit_kaplan(kaplan(form, noise=0.0), form, NONE, "pf-days")
    assert dict(fit.constants) == pytest.approx(KAPLAN[form], rel=1e-5)
    assert list(fit.constants) == list(FORMS[form].constants)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "NS"])
def test_intervals_of_kaplan_hold_published_constants_under_noise(form: str) -> None:
    inside = dict.fromkeys(KAPLAN[form], 0)
    for seed in range(20):
        fit = fit_kaplan(kaplan(form, seed), form, Bootstrap(40, seed=seed), "pf-days")
        for name, held in holds(fit.draws.intervals(fit.constants), KAPLAN[form]).items():
            inside[name] += held
    assert min(inside.values()) >= 16


def test_intervals_of_sizes_and_steps_hold_published_constants_under_noise() -> None:
    inside = 0
    for seed in range(4):
        fit = fit_kaplan(kaplan("NS", seed), "NS", Bootstrap(20, seed=seed))
        inside += sum(holds(fit.draws.intervals(fit.constants), KAPLAN["NS"]).values())
    assert inside >= 13


def test_units_change_only_the_constant_of_compute() -> None:
    days, flops = (fit_kaplan(kaplan("C"), "C", NONE, units).constants for units in ("pf-days", "flops"))
    assert flops["alpha_C"] == pytest.approx(days["alpha_C"])
    assert flops["C_c"] == pytest.approx(days["C_c"] * 8.64e19)


def test_prediction_of_sizes_and_tokens_is_the_published_formula() -> None:
    fit = fit_kaplan(kaplan("ND", noise=0.0), "ND", NONE)
    at = {"N": 1e8, "D": 1e9}
    expected = ((6.4e13 / 1e8) ** (0.076 / 0.103) + 1.8e13 / 1e9) ** 0.103
    assert fit.predict(at)["loss"] == pytest.approx(expected)
    with pytest.raises(DegenError, match=r"L\(N, D\) can only predict from N=…,D=…"):
        fit.predict({"N": 1e8})


def test_all_parameters_are_used_with_a_warning_without_a_column_of_non_embedding_ones() -> None:
    n = np.geomspace(1e6, 1e9, 10)
    points = points_of(parameters=n, tokens=n, loss=(8.8e13 / n) ** 0.076)
    fit = fit_kaplan(points, "N", NONE)
    assert "N counts all parameters" in fit.result().warnings[0]
    other = points_of(parameters=n, parameters_non_embedding=n / 2, tokens=n, loss=(8.8e13 / (n / 2)) ** 0.076)
    assert fit_kaplan(other, "N", NONE).constants["N_c"] == pytest.approx(8.8e13)
    assert fit_kaplan(other, "N", NONE).result().warnings == []


@pytest.mark.parametrize(
    ("form", "sizes", "losses", "message"),
    [
        ("N", [1e8] * 8, np.linspace(3, 2, 8), "all points have 1e\\+08"),
        ("N", np.geomspace(1e6, 1e9, 8), np.linspace(2, 3, 8), "loss does not fall with growing size"),
        ("N", np.geomspace(1e6, 1e9, 3), np.linspace(3, 2, 3), "3 points are too few to fit 2 parameters"),
        ("ND", [1e8] * 8, np.linspace(3, 2, 8), "do not determine|grows"),
        ("NS", np.geomspace(1e6, 1e9, 8), np.linspace(3, 2, 8), "no column of steps"),
        ("ABC", [1e8] * 8, np.linspace(3, 2, 8), "--form ABC: must be one of N, D, C, ND, NS"),
    ],
)
def test_tables_that_do_not_determine_a_form_are_refused(
    form: str, sizes: list[float], losses: list[float], message: str
) -> None:
    points = points_of(parameters=np.array(sizes), tokens=np.geomspace(1e9, 1e11, len(sizes)), loss=np.array(losses))
    with pytest.raises(DegenError, match=message):
        fit_kaplan(points, form, NONE)


def test_prediction_that_overflows_is_refused() -> None:
    fit = fit_kaplan(kaplan("NS"), "NS", NONE)
    steep = replace(fit, constants={**fit.constants, "alpha_S": 1.5})
    with pytest.raises(DegenError, match="--predict N=1e\\+09,S=1e-300: loss would be inf"):
        steep.predict({"N": 1e9, "S": 1e-300})


def test_all_parameters_are_used_where_the_column_of_non_embedding_ones_is_empty() -> None:
    points = kaplan("N", noise=0.0)
    sizes = points.quantity("parameters_non_embedding")
    both = points_of(parameters=sizes, parameters_non_embedding=np.full(len(points), np.nan), loss=points.loss)
    fit = fit_kaplan(both, "N", NONE)
    assert dict(fit.constants) == pytest.approx(KAPLAN["N"], rel=1e-5)
    assert "N counts all parameters" in fit.result().warnings[0]
