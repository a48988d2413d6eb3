from __future__ import annotations

import numpy as np
import pytest
from made_points import BESIROGLU, cloud, holds, points_of, profiles

from degen.errors import DegenError
from degen.laws import HOFFMANN, Law
from degen.scaling.bootstrap import Bootstrap
from degen.scaling.hoffmann import frontier_of
from degen.scaling.isoflop import fit_isoflop

NONE = Bootstrap(draws=0)


@pytest.mark.parametrize("law", [HOFFMANN, BESIROGLU], ids=["hoffmann", "besiroglu"])
@pytest.mark.parametrize("span", [4, 10])
def test_the_exponents_of_a_known_law_are_found(law: Law, span: float) -> None:
    fit = fit_isoflop(profiles(law, noise=0.0, span=span), NONE)
    truth = frontier_of(law.A, law.B, law.alpha, law.beta)
    assert fit.constants["a"] == pytest.approx(truth.a, abs=0.02)
    assert fit.constants["b"] == pytest.approx(truth.b, abs=0.02)
    assert len(fit.rows) == 9


def test_a_parabola_is_found_exactly_with_its_budgets() -> None:
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


def test_noise_of_a_percent_leaves_them_inside_their_intervals() -> None:
    truth = frontier_of(HOFFMANN.A, HOFFMANN.B, HOFFMANN.alpha, HOFFMANN.beta)
    inside = 0
    for seed in range(20):
        fit = fit_isoflop(profiles(HOFFMANN, seed), Bootstrap(40, seed=seed))
        inside += holds(fit.draws.intervals(fit.constants), {"a": truth.a})["a"]
    assert inside >= 17


def test_budgets_that_say_nothing_are_left_out_by_name() -> None:
    points = profiles(HOFFMANN, noise=0.0)
    more = {"parameters": [1e9, *np.geomspace(1e6, 1e7, 5)], "flops": [1e15, *[1e24] * 5]}
    n = np.append(points.parameters, more["parameters"])
    c = np.append(points.flops, more["flops"])
    fit = fit_isoflop(points_of(parameters=n, flops=c, loss=HOFFMANN.loss(n, c / 6 / n)), NONE)
    assert len(fit.rows) == 9
    said = " ".join(fit.warnings)
    assert "1 model has a compute with fewer than 4 sizes" in said
    assert "at 1e+24 FLOPs has" in said


def test_tables_without_budgets_end_in_a_message() -> None:
    with pytest.raises(DegenError, match="fewer than two budgets have a best size"):
        fit_isoflop(cloud(HOFFMANN), NONE)
    n = np.geomspace(1e8, 1e9, 6)
    with pytest.raises(DegenError, match="fewer than two budgets"):
        fit_isoflop(points_of(parameters=n, flops=np.full(6, 1e20), loss=HOFFMANN.loss(n, 1e20 / 6 / n)), NONE)
