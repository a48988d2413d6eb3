"""Whether the metrics that rules are about can be measured: of a scan that is planned, or of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from degen.errors import DegenError
from degen.hints import did_you_mean
from degen.metrics.run_parts import LAYERS, RunParts
from degen.tables import CHECKPOINTS

from .rule import Rule
from .source import refused

if TYPE_CHECKING:
    from degen.scanning.plan import Plan

NUMBERS = ("float64", "int64")


def check_rules(rules: Sequence[Rule], plan: Plan) -> None:
    """Refuse rules about what a scan cannot measure, before it begins. Layers, sites and domains are known only after.

    Raises:
        DegenError: an unknown metric or model.
    """
    models = [series.model for series in plan.series]
    for rule in rules:
        if rule.model is not None and rule.model not in models:
            raise refused(rule, f"the series has no model {rule.model!r}; {did_you_mean(rule.model, models)}")
        table = LAYERS if rule.layer is not None or rule.site is not None else CHECKPOINTS
        columns = plan.tables.columns(table) if table in plan.tables.names else ()
        there = [*(c.name for c in columns if c.type in NUMBERS and not c.key), *_declared(table)]
        if rule.metric not in there:
            raise refused(rule, f"no metric {rule.metric!r} in table {table}; {did_you_mean(rule.metric, there)}")


def check_metric(rule: Rule, table: str, parts: RunParts) -> None:
    """Refuse a metric that neither a table of a run nor a probe that is installed knows.

    Args:
        rule: the rule.
        table: `checkpoints` or `layers`, by what the rule selects.
        parts: the run.

    Raises:
        DegenError: it names the nearest metric, or how to select the one that was meant.
    """
    columns = parts.columns(table)
    if columns.get(rule.metric):
        return
    if rule.metric in columns:
        raise refused(rule, f"{rule.metric} of table {table} holds no numbers; name a metric that does")
    other = CHECKPOINTS if table == LAYERS else LAYERS
    if parts.columns(other).get(rule.metric) and columns:
        how = f"select one, as in {rule.metric}[layer=last]" if table == CHECKPOINTS else "drop layer and site"
        what = "layers" if table == CHECKPOINTS else "whole checkpoints"
        raise refused(rule, f"{rule.metric} is a figure of {what}; {how}")
    declared = _declared(table)
    if rule.metric not in declared:
        names = [*(name for name, numeric in columns.items() if numeric), *declared]
        hint = did_you_mean(rule.metric, names)
        raise refused(rule, f"{parts.path}: no metric {rule.metric!r} in table {table}; {hint}")


def _declared(table: str) -> list[str]:
    """Return what the probes that are installed fill of a table, asked for in this run or not."""
    from degen.probe_registry import installed, load_probes

    found = []
    for name in installed():
        try:
            (probe,) = load_probes([name]).values()
        except DegenError:  # a broken probe of somebody's knows no metric
            continue
        found += [c.name for c in probe.columns.get(table, ()) if c.type in NUMBERS and not c.key]
    return found
