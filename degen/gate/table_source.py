"""The curves of a table that a rule is about: CSV, Parquet, results of evaluations.

Rows are sorted by step. The latest step of a model is the largest of any of its rows: a metric without a value there is
missing at the latest step, whatever its earlier values, unless it is measured less often and was not due there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from degen.metrics.checkpoint_table import (
    CheckpointTable,
    is_of_run,
    model_labels,
    read_checkpoint_table,
)
from degen.metrics.curve import Curve, Point, curve_from_points
from degen.metrics.curve_options import plain_options
from degen.metrics.curve_rows import group_rows
from degen.metrics.layout import read_layout
from degen.metrics.measured_rows import is_due
from degen.metrics.part_curves import HEAD_INPUT
from degen.metrics.summary import summarise_table
from degen.metrics.table_curves import read_curve
from degen.readers.columns import empty_as_numbers, first_column, numbers, texts
from degen.readers.open_table import OpenTable
from degen.readers.source_summary import SourceSummary

from .rule import Rule

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class TableSource:
    """A table as the source of the curves that rules are about.

    Attributes:
        opened: the table, with its path.
        warn: called with each line of warning.
    """

    opened: OpenTable
    warn: Callable[[str], None] = field(repr=False)
    _left_out: Counter[str] = field(default_factory=Counter, repr=False)
    _curves: dict[Rule, list[Curve]] = field(default_factory=dict, repr=False)

    @property
    def table(self) -> pa.Table:
        """All rows of the table."""
        return self.opened.table

    @property
    def path(self) -> Path:
        """The file or folder of the table."""
        return self.opened.path

    @property
    def name(self) -> str:
        """What a user calls it: its path."""
        return str(self.path)

    @cached_property
    def models(self) -> list[str]:
        """Labels of the models, in the order of the table."""
        return list(dict.fromkeys(self._labels))

    @cached_property
    def failed(self) -> list[str]:
        """The checkpoints that could not be measured, as `model@revision`; empty for a table that is not of a run."""
        if not is_of_run(self.table):
            return []
        column = "revision" if "revision" in self.table.column_names else read_layout(self.table, self.path).step
        rows = zip(self._labels, texts(self.table, column), texts(self.table, "status"), strict=True)
        return [f"{model}@{name}" for model, name, status in rows if status == "failed"]

    @property
    def samples(self) -> frozenset[str]:
        """An empty set: a table does not say on which windows its checkpoints were measured."""
        return frozenset()

    def curves(self, rule: Rule) -> list[Curve]:
        """Return the curves that a rule is about, one or more, each with all its checkpoints whatever the rule's steps.

        The checkpoints of a curve are in the order of their steps, those without a step last.

        Raises:
            DegenError: the metric is unknown, or a selector matches nothing.
        """
        if rule not in self._curves:
            self._curves[rule] = self._read_curves(rule)
        return self._curves[rule]

    def _read_curves(self, rule: Rule) -> list[Curve]:
        models = rule.select_models(self.models, self.name)
        checkpoints = self._selected(rule)
        metric, task = _without_task(checkpoints, rule.metric)
        options = plain_options(metric)
        groups = group_rows(checkpoints, options, ())
        for reason, count in options.left_out.items():  # rules may be about the same values
            self._left_out[reason] = max(count, self._left_out[reason])
        curves = []
        for model in models:
            own = [(group, read_curve(checkpoints, group, options)) for group in groups if group.model == model]
            curves += [self._up_to_latest(c, c.place or task or _place(rule), group.column) for group, c in own]
            if not own:
                unmeasured = Point(None, self._latest.get(model), None, None, f"the table has no row of {rule.metric}")
                curves.append(curve_from_points(model, rule.metric, [unmeasured]))
        return curves

    def summary(self, rules: Sequence[Rule]) -> SourceSummary:
        """Return what was understood of the table, as far as rules need it."""
        curves = [curve for rule in rules for curve in self.curves(rule)]
        return summarise_table(self.opened, self._checkpoints, curves, self._left_out, named=True)

    def _up_to_latest(self, curve: Curve, place: str | None, column: str) -> Curve:
        """Return `curve` with points without a value added, where its model has rows that the curve lacks.

        One is added at the model's latest step, if the curve ends before it and its metric was due there; one for rows
        with a value and without a step, if there are any.

        Args:
            curve: the curve.
            place: its layer and site, domain or task; None where it has none.
            column: the column of its values.
        """
        points = list(curve.points)
        latest, last = self._latest[curve.model], int(curve.steps[-1])
        measured = np.unique(curve.steps[~np.isnan(curve.values)])
        due = is_of_run(self.table) or not len(measured) or is_due(measured, latest)
        if last < latest and due and not curve.by_tokens:
            points.append(
                Point(None, latest, None, None, f"it has no row at step {latest}; its last row is at step {last}")
            )
        if stepless := self._checkpoints.count_stepless(curve.model, column):
            points.append(Point(None, None, None, None, f"rows without a step, which may be its latest: {stepless}"))
        return curve_from_points(curve.model, curve.metric, points, place=place, layer=curve.layer, site=curve.site)

    @cached_property
    def _latest(self) -> dict[str, int]:
        """Label of the model -> its latest step."""
        steps: dict[str, int] = {}
        for model, step in zip(self._checkpoints.models, self._checkpoints.steps.tolist(), strict=True):
            steps[model] = max(step, steps.get(model, step))
        return steps

    @cached_property
    def _labels(self) -> list[str]:
        """The label of the model of each row of the table."""
        return model_labels(self.table, read_layout(self.table, self.path), self.path)

    @cached_property
    def _checkpoints(self) -> CheckpointTable:
        return self._read(self.table, {})

    def _read(self, table: pa.Table, where: dict[str, str]) -> CheckpointTable:
        """Return the rows that have a step, with copies of other checkpoints, since the latest may be one."""
        # a column without any value may be a metric that was not measured
        return read_checkpoint_table(
            empty_as_numbers(table),
            self.path,
            where,
            lambda line: None,
            keep_copies=True,
            is_log=self.opened.is_log,
        )

    def _selected(self, rule: Rule) -> CheckpointTable:
        """Return the rows of the layer, site and domain that a rule selects, by columns of these names."""
        selectors = {"layer": rule.layer, "site": rule.site, "domain": rule.domain}
        columns = {key: first_column(self.table, [key]) for key in selectors}
        for key, value in selectors.items():
            if value is not None and columns[key] is None:
                raise rule.error(
                    f"{self.path} has no column {key!r}, by which the rule selects; drop the selector {key}"
                )
        table = self.table
        if rule.layer == "last":
            table = self._last_layers(table, str(columns["layer"]))
            selectors["site"] = rule.site or (HEAD_INPUT if columns["site"] is not None else None)
        if rule.layer in ("last", "all"):
            selectors["layer"] = None
        where = {str(columns[key]): str(value) for key, value in selectors.items() if value is not None}
        return self._read(table, where) if where or table is not self.table else self._checkpoints

    def _last_layers(self, table: pa.Table, column: str) -> pa.Table:
        """Return the rows of the last layer of each model."""
        import pyarrow as pa

        layers = np.nan_to_num(numbers(table, column, self.path), nan=-1.0).tolist()
        last: dict[str, float] = {}
        for model, layer in zip(self._labels, layers, strict=True):
            last[model] = max(layer, last.get(model, layer))
        return table.filter(pa.array([last[m] == layer for m, layer in zip(self._labels, layers, strict=True)]))


def _without_task(checkpoints: CheckpointTable, metric: str) -> tuple[str, str | None]:
    """Return the metric's name without a task in front of it, and the task; the name as it is and None without one.

    The curves of a table with a single task are named without the task, but a rule may name it: `arc/acc` for `acc`.
    """
    for column in checkpoints.layout.apart:
        labels = {text for text in texts(checkpoints.table, column) if text}
        label = labels.pop() if len(labels) == 1 else None
        if label and metric.startswith(f"{label}/") and metric not in checkpoints.table.column_names:
            return metric.removeprefix(f"{label}/"), label
    return metric, None


def _place(rule: Rule) -> str | None:
    """Return the layer, site and domain of a rule's selectors as text; None without these selectors."""
    named = [("layer", rule.layer), ("site", rule.site), ("domain", rule.domain)]
    return " ".join(f"{key} {value}" for key, value in named if value is not None) or None
