from __future__ import annotations

import numpy as np
import pytest
from made_points import BESIROGLU, cloud, holds, points_of, profiles

from degen.errors import DegenError
from degen.laws.law import HOFFMANN, Law
from degen.published import published_table
from degen.scaling.frontier import frontier_of
from degen.scaling.isoflop import fit_isoflop
from degen.scaling.read_points import read_points
from degen.stats.bootstrap import Bootstrap

NONE = Bootstrap(draws=0)
BUDGETS = [6e18, 1e19, 3e19, 6e19, 1e20, 3e20, 6e20, 1e21, 3e21]  # of the paper, section 3.2, and of `profiles`


@pytest.mark.parametrize("law", [HOFFMANN, BESIROGLU], ids=["hoffmann", "besiroglu"])
@pytest.mark.parametrize("span", [4, 10])
def test_isoflop_recovers_the_exponents_of_a_known_law(law: Law, span: float) -> None:
    fit = fit_isoflop(profiles(law, noise=0.0, span=span), NONE)
    truth = frontier_of(law.A, law.B, law.alpha, law.beta)
    assert fit.constants["a"] == pytest.approx(truth.a, abs=0.02)
    assert fit.constants["b"] == pytest.approx(truth.b, abs=0.02)
    assert len(fit.rows) == 9


def test_exact_parabolas_give_exact_budgets_and_constants() -> None:
    flops = np.repeat([1e19, 1e20, 1e21], 5)
    best = 0.3 * flops**0.48
    n = best * np.tile(np.geomspace(0.3, 4, 5), 3)
    loss = 2 + 0.1 * np.log(n / best) ** 2
    fit = fit_isoflop(points_of(parameters=n, flops=flops, loss=loss), NONE)
    assert fit.constants["a"] == pytest.approx(0.48)
    assert fit.constants["k_N"] == pytest.approx(0.3)
    assert [row["loss"] for row in fit.rows] == pytest.approx([2, 2, 2])
    assert fit.predict({"N": float(best[7])})["flops"] == pytest.approx(1e20)
    assert fit.predict({"C": 1e20})["tokens"] == pytest.approx(1e20 / 6 / best[7])


def test_interval_of_the_isoflop_exponent_holds_the_truth_under_noise() -> None:
    truth = frontier_of(HOFFMANN.A, HOFFMANN.B, HOFFMANN.alpha, HOFFMANN.beta)
    inside = 0
    for seed in range(20):
        fit = fit_isoflop(profiles(HOFFMANN, seed), Bootstrap(40, seed=seed))
        inside += holds(fit.draws.intervals(fit.constants), {"a": truth.a})["a"]
    assert inside >= 17


def test_budgets_without_a_best_size_are_left_out_with_a_warning() -> None:
    points = profiles(HOFFMANN, noise=0.0)
    more = {"parameters": [1e9, *np.geomspace(1e6, 1e7, 5)], "flops": [1e15, *[1e24] * 5]}
    n = np.append(points.parameters, more["parameters"])
    c = np.append(points.flops, more["flops"])
    fit = fit_isoflop(points_of(parameters=n, flops=c, loss=HOFFMANN.loss(n, c / 6 / n)), NONE)
    assert len(fit.rows) == 9
    warnings = " ".join(fit.warnings)
    assert "1 of 87 models belongs to no budget" in warnings
    assert "1e+24 FLOPs" in warnings


def test_budgets_are_found_among_other_runs() -> None:
    points, draw, many = profiles(HOFFMANN, sizes=25), np.random.default_rng(3), 300
    c = points.flops * np.exp(draw.uniform(-0.08, 0.08, len(points)))
    c = np.append(c, np.exp(draw.uniform(np.log(4e18), np.log(4e21), many)))
    n = np.append(points.parameters, np.exp(draw.uniform(np.log(1e8), np.log(1e10), many)))
    assert (np.diff(np.sort(np.log(c))) > np.log(1.1)).sum() < 8  # gaps do not separate the nine budgets
    loss = HOFFMANN.loss(n, c / 6 / n) * np.exp(draw.normal(0, 0.01, len(n)))
    fit = fit_isoflop(points_of(parameters=n, flops=c, loss=loss), NONE)
    budgets = np.array([row["flops"] for row in fit.rows])
    assert len(budgets) <= 10  # one may arise among the other runs by chance
    assert all(np.abs(np.log(budgets / budget)).min() < 0.1 for budget in BUDGETS)
    truth = frontier_of(HOFFMANN.A, HOFFMANN.B, HOFFMANN.alpha, HOFFMANN.beta)
    assert fit.constants["a"] == pytest.approx(truth.a, abs=0.03)
    assert "models belong to no budget" in fit.warnings[0]


def test_budgets_of_chinchilla_are_those_of_the_paper() -> None:
    points = read_points(published_table("chinchilla_points"), {})
    fit = fit_isoflop(points, NONE)
    assert [row["flops"] for row in fit.rows] == pytest.approx(BUDGETS, rel=0.1)
    for table in (points, points.without_highest(5)):
        assert 0.462 < fit_isoflop(table, NONE).constants["a"] < 0.534  # the interval of table 2


def test_tables_without_two_budgets_are_refused() -> None:
    with pytest.raises(DegenError, match="fewer than two budgets have a best size"):
        fit_isoflop(cloud(HOFFMANN), NONE)
    n = np.geomspace(1e8, 1e9, 6)
    with pytest.raises(DegenError, match="fewer than two budgets"):
        fit_isoflop(points_of(parameters=n, flops=np.full(6, 1e20), loss=HOFFMANN.loss(n, 1e20 / 6 / n)), NONE)


def test_coverage_of_the_interval_of_tokens_for_a_size_is_its_confidence() -> None:
    truth = fit_isoflop(profiles(HOFFMANN, noise=0), NONE).predict({"N": 5e9})
    inside = 0
    for seed in range(20):
        row = fit_isoflop(profiles(HOFFMANN, seed), Bootstrap(60, seed=seed)).predict({"N": 5e9})
        inside += row["tokens_low"] <= truth["tokens"] <= row["tokens_high"]
        assert "parameters_low" not in row
    assert inside >= 15
    with pytest.raises(DegenError, match="choose closer values"):
        fit_isoflop(profiles(HOFFMANN), NONE).predict({"D": 1e-300})


def test_bootstrap_spread_equals_that_of_tables_with_new_noise() -> None:
    """With five sizes and three coefficients a budget, residuals alone would be too narrow by a third."""
    tables = [profiles(HOFFMANN, seed, noise=0.003, sizes=5) for seed in range(60)]
    spread = np.std([fit_isoflop(table, Bootstrap(0)).constants["a"] for table in tables])
    drawn = [np.std(fit_isoflop(table, Bootstrap(40)).draws.estimates["a"]) for table in tables[:12]]
    assert 0.8 < np.mean(drawn) / spread < 1.25
