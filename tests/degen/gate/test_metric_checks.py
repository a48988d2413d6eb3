"""Rules on a scan that is only planned: each metric is looked up in the table that its selectors lead to."""

from __future__ import annotations

from pathlib import Path

import pytest

from degen import DegenError
from degen.gate.metric_checks import check_rules
from degen.gate.parser import parse_rule
from degen.scanning.plan import Plan, make_plan
from degen.scanning.settings import Settings


@pytest.fixture(scope="module")
def plan(series: Path) -> Plan:
    """Return the plan of a scan with the usual probes."""
    return make_plan(Settings((str(series),)))


@pytest.mark.parametrize(
    "rule",
    [
        "loss < 3", "loss[domain=Github] < 3", "anisotropy[layer=last] < 1", "anisotropy[layer=last,domain=Github] < 1",
        "perplexity < 9", "mean_norm[site=block] < 9",
    ],
)  # fmt: skip
def test_metrics_of_the_planned_tables_pass(rule: str, plan: Plan) -> None:
    check_rules([parse_rule(rule)], plan)


@pytest.mark.parametrize(
    ("rule", "table"),
    [("lossy < 3", "checkpoints"), ("lossy[domain=Github] < 3", "domains"), ("lossy[layer=last] < 3", "layers"),
     ("perplexity[layer=last] < 3", "layers")],
)  # fmt: skip
def test_other_metrics_are_refused_with_the_name_of_the_table(rule: str, table: str, plan: Plan) -> None:
    metric = rule.partition(" ")[0].partition("[")[0]
    with pytest.raises(DegenError, match=rf"this scan does not measure '{metric}' for table {table}; "):
        check_rules([parse_rule(rule)], plan)


def test_a_metric_of_layers_and_a_model_that_is_not_there_are_refused(plan: Plan) -> None:
    with pytest.raises(DegenError, match=r"mean_norm is a metric of layers|does not measure 'mean_norm'"):
        check_rules([parse_rule("mean_norm[domain=Github] < 3")], plan)
    with pytest.raises(DegenError, match="nosuch"):
        check_rules([parse_rule("loss[model=nosuch] < 3")], plan)
