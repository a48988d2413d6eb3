"""The result of a fit of the optimum, for print and JSON."""

from __future__ import annotations

import pytest
from made_points import profiles

from degen.laws.law import HOFFMANN
from degen.scaling.frontier import BUDGETS
from degen.scaling.isoflop import fit_isoflop
from degen.scaling.optimum import FORMULA
from degen.stats.bootstrap import Bootstrap


def test_a_result_holds_the_fit_its_frontier_and_what_was_asked() -> None:
    fit = fit_isoflop(profiles(HOFFMANN, noise=0.0), Bootstrap(draws=0))
    result = fit.result([{"C": 1e20}, {"N": 1e9}])
    assert (result.law, result.formula, result.rests_on) == ("isoflop", FORMULA, fit.rests_on)
    assert {name: interval["value"] for name, interval in result.parameters.items()} == pytest.approx(
        dict(fit.constants)
    )
    assert result.frontier == [fit.predict({"C": flops}) for flops in BUDGETS]
    assert result.predictions == [fit.predict({"C": 1e20}), fit.predict({"N": 1e9})]
    assert (result.rows, result.warnings) == (fit.rows, fit.warnings)
    assert (result.confidence, result.no_interval) == (fit.draws.confidence, fit.draws.failure_reason)
    assert fit.result().predictions == []
