"""Checks that the metrics of rules exist, in a planned scan or in a run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from degen.errors import DegenError
from degen.hints import did_you_mean
from degen.metrics.run_parts import LAYERS, RunParts
from degen.tables import CHECKPOINTS, DOMAINS, ENGINE_TABLES, Column

from .module_curves import check_module_rule
from .rule import Rule

if TYPE_CHECKING:
    from degen.scanning.plan import Plan

NUMBERS = ("float64", "int64")


def check_rules(rules: Sequence[Rule], plan: Plan) -> None:
    """Refuse rules about metrics or models that the planned scan would not measure.

    Layers, sites and names of domains are not checked: they are known only after the scan.

    Raises:
        DegenError: a rule has a metric or a model that the scan does not measure.
    """
    models = [series.model for series in plan.series]
    for rule in rules:
        rule.select_models(models, "the series")
        if rule.of_modules is not None:
            check_module_rule(rule, *rule.of_modules)
            table, _ = rule.of_modules
            if table.name not in plan.tables.names:
                raise rule.error(f"this scan does not measure {table.measures}; add --probes {table.name}")
            continue
        by_layer = rule.layer is not None or rule.site is not None
        name = LAYERS if by_layer else CHECKPOINTS if rule.domain is None else DOMAINS
        columns = plan.tables.columns(name) if name in plan.tables.names else ()
        metrics = [*_metrics(columns), *_declared(name)]
        if rule.metric not in metrics:
            raise rule.error(
                f"this scan does not measure {rule.metric!r} for table {name}; {did_you_mean(rule.metric, metrics)}"
            )
        if name == DOMAINS:
            of_model = [*_metrics(plan.tables.columns(CHECKPOINTS)), *_declared(CHECKPOINTS)]
            check_layer_of_domain(rule, of_model, _metrics(columns))


def check_layer_of_domain(rule: Rule, of_model: Collection[str], of_domains: Collection[str]) -> None:
    """Refuse a rule on a domain without a layer, about a metric that table `domains` has of layers alone.

    Args:
        rule: the rule.
        of_model: metrics of whole checkpoints.
        of_domains: metrics of table `domains`.

    Raises:
        DegenError: the metric is among those of domains and not of whole checkpoints, and the rule selects no layer.
    """
    if rule.layer is None and rule.site is None and rule.metric in of_domains and rule.metric not in of_model:
        selectors = f"layer=last,domain={rule.domain}"
        raise rule.error(f"{rule.metric} is a metric of layers; select a layer, as in {rule.metric}[{selectors}]")


def check_metric(rule: Rule, table: str, parts: RunParts) -> None:
    """Refuse a rule whose metric is neither in a table of a run nor declared by an installed probe.

    A metric that a probe declares but the run lacks is accepted: the rule is then undecidable, not wrong.

    Args:
        rule: the rule.
        table: the table to look in, `checkpoints`, `layers` or `domains`; the rule's selectors decide which.
        parts: the run.

    Raises:
        DegenError: the message names the most similar metric, or the selector to add or to drop.
    """
    columns = parts.columns(table)
    if columns.get(rule.metric):
        return
    if rule.metric in columns:
        raise rule.error(f"column {rule.metric} of table {table} holds no numbers; name a column of numbers")
    if table == DOMAINS and parts.columns(CHECKPOINTS).get(rule.metric) and rule.metric not in _declared(DOMAINS):
        raise rule.error(f"{rule.metric} is not measured for a single domain; drop the selector domain")
    other = CHECKPOINTS if table == LAYERS else LAYERS
    if parts.columns(other).get(rule.metric) and columns:
        if table == CHECKPOINTS:
            raise rule.error(f"{rule.metric} is a metric of layers; select a layer, as in {rule.metric}[layer=last]")
        raise rule.error(f"{rule.metric} is a metric of whole checkpoints; drop the selectors layer and site")
    declared = _declared(table)
    if rule.metric not in declared:
        names = [*(name for name, numeric in columns.items() if numeric), *declared]
        hint = did_you_mean(rule.metric, names)
        problem = f"{parts.run.name}: table {table} has no metric {rule.metric!r}, and no installed probe measures one"
        raise rule.error(f"{problem}; {hint}")


def depends_on_text(rule: Rule) -> bool:
    """Return whether the metric of a rule depends on the text that it was measured on.

    It does not where a probe of weights alone measures it, or where it is a fact of the model, such as its number
    of parameters.
    """
    from degen.probe import HeadProbe, SourceProbe
    from degen.probe_registry import installed, load_probes

    table = LAYERS if rule.layer is not None or rule.site is not None else CHECKPOINTS
    if rule.of_modules is not None:
        return False
    if rule.domain is not None or table == LAYERS:
        return True
    if rule.metric in {column.name for column in ENGINE_TABLES[CHECKPOINTS]}:
        return False
    for name in installed():
        try:
            (probe,) = load_probes([name]).values()
        except DegenError:  # a broken probe has no metrics
            continue
        if issubclass(probe, HeadProbe | SourceProbe) and rule.metric in {c.name for c in probe.columns.get(table, ())}:
            return False
    return True


def _declared(table: str) -> list[str]:
    """Return the names of the metrics that the installed probes declare for the table `table`."""
    from degen.probe_registry import installed, load_probes

    metrics = []
    for name in installed():
        try:
            (probe,) = load_probes([name]).values()
        except DegenError:  # a broken probe has no metrics
            continue
        metrics += _metrics(probe.columns.get(table, ()))
    return metrics


def _metrics(columns: Iterable[Column]) -> list[str]:
    return [c.name for c in columns if c.type in NUMBERS and not c.key]
