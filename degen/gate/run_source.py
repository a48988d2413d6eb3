"""The curves of a run that a rule is about: of whole checkpoints, of layers, or of a domain of the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from degen.hints import did_you_mean
from degen.metrics.checkpoint_table import CheckpointTable
from degen.metrics.curve import Curve
from degen.metrics.part_curves import (
    HEAD_INPUT,
    domain_curve,
    domain_metric_curve,
    domains_of,
    layer_curves,
    unmeasured_curve,
)
from degen.metrics.run_curves import all_checkpoints, checkpoint_curve
from degen.metrics.run_parts import LAYERS, RunParts
from degen.metrics.summary import summarise_run
from degen.readers.source_summary import SourceSummary
from degen.runs.part_cache import PartCache
from degen.runs.run import Run
from degen.tables import CHECKPOINTS, DOMAINS, Row

from .metric_checks import check_layer_of_domain, check_metric
from .module_curves import check_module_rule, read_modules, select_modules
from .module_tables import ModuleTable
from .rule import Rule


class RunSource:
    """A run as the source of the curves that rules are about.

    Args:
        run: the run.
        warn: called with each line of warning.
        series: label of the model -> the revisions that it has now; measurements of later steps are left out. None to
            use all.
        cache: what was read of the run's parts before; None to read all that is needed.
    """

    def __init__(
        self,
        run: Run,
        warn: Callable[[str], None],
        series: Mapping[str, Sequence[str]] | None = None,
        cache: PartCache | None = None,
    ) -> None:
        self._parts = RunParts(run, cache)
        self._warn = warn
        self._series = series
        self._curves: dict[Rule, list[Curve]] = {}

    @property
    def path(self) -> Path:
        """The run folder, or the copy on this machine of a run that lies elsewhere."""
        return self._parts.path

    @property
    def name(self) -> str:
        """What a user calls the run: its folder or its URL."""
        return self._parts.run.name

    @property
    def samples(self) -> frozenset[str]:
        """The hashes of the samples of windows on which the run was measured."""
        return self._parts.samples

    @cached_property
    def models(self) -> list[str]:
        """Labels of all models of the run, in the order given to the scan, with or without measurements."""
        named = self._parts.run.info.get("models", [])
        return list(dict.fromkeys([*named, *(row["model"] for row in self._rows)]))

    @cached_property
    def failed(self) -> list[str]:
        """The checkpoints that could not be measured, as `model@revision`."""
        return [f"{row['model']}@{row['revision']}" for row in self._rows if row["status"] == "failed"]

    def curves(self, rule: Rule) -> list[Curve]:
        """Return the curves that a rule is about, one or more, each with all its checkpoints whatever the rule's steps.

        The checkpoints of a curve are in the order of training, those without a step last.

        Raises:
            DegenError: the metric is unknown, or a selector matches nothing.
        """
        if rule not in self._curves:
            self._curves[rule] = self._read_curves(rule)
        return self._curves[rule]

    def _read_curves(self, rule: Rule) -> list[Curve]:
        models = rule.select_models(self.models, self.name)
        rows = {model: [row for row in self._rows if row["model"] == model] for model in models}
        unmeasured = [unmeasured_curve(model, rule.metric, ()) for model, own in rows.items() if not own]
        return unmeasured + self._measured(rule, {model: own for model, own in rows.items() if own})

    def summary(self, rules: Sequence[Rule]) -> SourceSummary:
        """Return what was understood of the run, as far as rules need it."""
        return summarise_run(self.path, [curve for rule in rules for curve in self.curves(rule)])

    def _measured(self, rule: Rule, rows: Mapping[str, list[Row]]) -> list[Curve]:
        """Return the curves that a rule is about, for models that have rows.

        Args:
            rule: the rule.
            rows: label of the model -> its rows of table `checkpoints`.
        """
        by_layer = rule.layer is not None or rule.site is not None
        if rule.domain is not None:
            return [curve for model, own in rows.items() for curve in self._of_domain(rule, model, own, rule.domain)]
        if rule.of_modules is not None:
            return self._of_modules(rule, *rule.of_modules, rows)
        if rule.module is not None:
            raise rule.error(
                f"only figures of updates and weights are of a module, as in delta.{rule.metric}; drop the selector"
            )
        check_metric(rule, LAYERS if by_layer else CHECKPOINTS, self._parts)
        if by_layer:
            return [curve for model, own in rows.items() for curve in self._of_layers(rule, model, own)]
        positions = {(row["model"], row["revision"]): i for i, row in enumerate(self._parts.rows)}
        return [
            checkpoint_curve(
                self._parts, self._checkpoints, model, [positions[model, row["revision"]] for row in own], rule.metric
            )
            for model, own in rows.items()
        ]

    def _of_layers(self, rule: Rule, model: str, rows: Sequence[Row]) -> list[Curve]:
        curves = layer_curves(self._parts, model, rows, rule.metric, rule.domain)
        if not curves:  # the run was not measured at any layer, which is no fault of the rule
            of_domain = ("domain", rule.domain) if rule.domain is not None else ()
            place = " ".join(str(part) for part in ("layer", rule.layer, rule.site, *of_domain) if part is not None)
            return [unmeasured_curve(model, rule.metric, rows, place)]
        return _selected(rule, self.name, curves)

    def _of_domain(self, rule: Rule, model: str, rows: Sequence[Row], domain: str) -> list[Curve]:
        """Return the curves of a domain: one, or one for each layer and site that the rule selects."""
        by_layer = rule.layer is not None or rule.site is not None
        if by_layer:
            check_metric(rule, LAYERS, self._parts)
        if rule.metric != "loss":
            check_metric(rule, DOMAINS, self._parts)
            check_layer_of_domain(rule, self._parts.columns(CHECKPOINTS), self._parts.columns(DOMAINS))
        domains = domains_of(self._parts, model, rows)
        if domains is not None and domain not in domains:
            hint = did_you_mean(domain, sorted(domains))
            raise rule.error(f"{self.name}: no text of the domain {domain!r} was measured; {hint}")
        if by_layer:
            return self._of_layers(rule, model, rows)
        if rule.metric == "loss":  # from its windows, so that differences are paired
            return [domain_curve(self._parts, model, rows, domain)]
        return [domain_metric_curve(self._parts, model, rows, rule.metric, domain)]

    def _of_modules(self, rule: Rule, table: ModuleTable, column: str, rows: Mapping[str, list[Row]]) -> list[Curve]:
        """Return a curve for each module that the rule selects, of a column of a table of modules."""
        check_module_rule(rule, table, column)
        curves = []
        for model, own in rows.items():
            measured = read_modules(self._parts, model, own, table, column)
            curves += select_modules(rule, measured, self.name) or [unmeasured_curve(model, rule.metric, own)]
        return curves

    @cached_property
    def _checkpoints(self) -> CheckpointTable:
        return all_checkpoints(self._parts)

    @cached_property
    def _rows(self) -> list[Row]:
        """The rows of checkpoints, of each model up to the last revision that it still has.

        Earlier revisions count even if they were deleted since.
        """
        rows = self._parts.rows
        if self._series is None:
            return rows
        kept: list[Row] = []
        undone: list[Row] = []
        seen: set[str] = set()  # models whose last checkpoint has come, going backwards
        for row in reversed(rows):
            if row["revision"] in self._series.get(row["model"], ()):
                seen.add(row["model"])
            (kept if row["model"] in seen else undone).append(row)
        if undone:
            names = ", ".join(f"{row['model']}@{row['revision']}" for row in reversed(undone))
            self._warn(f"{self.name}: checkpoints left out, because the series no longer has them: {names}")
        return kept[::-1]


def _selected(rule: Rule, name: str, curves: Sequence[Curve]) -> list[Curve]:
    """Return those of the curves of one model whose layer and site the rule selects.

    Args:
        rule: the rule.
        name: of the run, for the error.
        curves: all curves of the model, one for each layer and site.

    Raises:
        DegenError: the model has no such layer or site.
    """
    model = curves[0].model
    layers = [curve.layer for curve in curves if curve.layer is not None]
    last = max(layers)
    layer = last if rule.layer == "last" else rule.layer if isinstance(rule.layer, int) else None
    site = HEAD_INPUT if rule.layer == "last" and rule.site is None else rule.site
    sites = list(dict.fromkeys(curve.site for curve in curves if curve.site is not None))
    if site is not None and site not in sites:
        raise rule.error(f"{name}: {model} has no site {site!r}; {did_you_mean(site, sites)}")
    if layer is not None and layer not in layers:
        raise rule.error(f"{name}: {model} has no layer {layer}; it has 0 to {last}")
    selected = [c for c in curves if layer in (None, c.layer) and site in (None, c.site)]
    if not selected:
        sites_of_layer = ", ".join(str(c.site) for c in curves if c.layer == layer)
        raise rule.error(f"{name}: layer {layer} of {model} has no site {site!r}; it has {sites_of_layer}")
    return selected
