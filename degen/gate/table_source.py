"""A table that others wrote, as a gate reads it: CSV, Parquet, results of lm-evaluation-harness.

Rows stand in the order of their steps. The latest step of a model is the largest that any of its rows has: a metric
that was not written there is missing there, however good it was before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from degen.hints import did_you_mean
from degen.metrics.checkpoint_table import (
    CheckpointTable,
    is_of_run,
    model_labels,
    read_checkpoint_table,
)
from degen.metrics.columns import empty_as_numbers, first_column, numbers, texts
from degen.metrics.curve import Curve, Point, curve_from_points
from degen.metrics.curve_options import CurveOptions
from degen.metrics.layout import read_layout
from degen.metrics.metric_kinds import NO_FLOOR
from degen.metrics.part_curves import HEAD_INPUT
from degen.metrics.table_curves import group_rows, read_curve

from .rule import Rule
from .source import refused

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class TableSource:
    """A table, as a gate reads it.

    Attributes:
        table: the table.
        path: where it came from.
        warn: called with each line of warning.
    """

    table: pa.Table = field(repr=False)
    path: Path
    warn: Callable[[str], None] = field(repr=False)

    @cached_property
    def models(self) -> list[str]:
        """Labels of the models, as they appear."""
        return list(dict.fromkeys(self._labels))

    @cached_property
    def failed(self) -> list[str]:
        """The checkpoints that could not be measured, where the table came out of a run."""
        if not is_of_run(self.table):
            return []
        column = "revision" if "revision" in self.table.column_names else read_layout(self.table, self.path).step
        rows = zip(self._labels, texts(self.table, column), texts(self.table, "status"), strict=True)
        return [f"{model}@{name}" for model, name, status in rows if status == "failed"]

    @property
    def samples(self) -> frozenset[str]:
        """None: a table does not say on which windows it was measured."""
        return frozenset()

    def curves(self, rule: Rule) -> list[Curve]:
        """Read what a rule is about, before its steps are chosen.

        Raises:
            DegenError: an unknown metric, or a selector that matches nothing.
        """
        if rule.model is not None and rule.model not in self.models:
            raise refused(rule, f"{self.path} has no model {rule.model!r}; {did_you_mean(rule.model, self.models)}")
        checkpoints = self._selected(rule)
        metric, task = _without_task(checkpoints, rule.metric)
        options = CurveOptions([metric], "min", {None: NO_FLOOR}, True, self.warn, keep_infinite=True)
        groups = group_rows(checkpoints, options, ())
        curves = []
        for model in self.models if rule.model is None else [rule.model]:
            own = [read_curve(checkpoints, group, options) for group in groups if group.model == model]
            curves += [self._up_to_latest(curve, curve.place or task or _place(rule)) for curve in own]
            if not own:
                nowhere = Point(None, self._latest.get(model), None, None, f"no row of {rule.metric}")
                curves.append(curve_from_points(model, rule.metric, [nowhere]))
        return curves

    def _up_to_latest(self, curve: Curve, place: str | None) -> Curve:
        """Return a curve with points for what its model has of later rows, and of rows that have no step."""
        points = list(curve.points)
        latest, last = self._latest[curve.model], int(curve.steps[-1])
        if last < latest:
            points.append(Point(None, latest, None, None, f"no row of it at step {latest}; its last is step {last}"))
        if without := self._checkpoints.without_step.get(curve.model):
            points.append(Point(None, None, None, None, f"rows without a step, which may be its latest: {without}"))
        return curve_from_points(curve.model, curve.metric, points, place=place, layer=curve.layer, site=curve.site)

    @cached_property
    def _latest(self) -> dict[str, int]:
        """The latest step of each model."""
        steps: dict[str, int] = {}
        for model, step in zip(self._checkpoints.models, self._checkpoints.steps.tolist(), strict=True):
            steps[model] = max(step, steps.get(model, step))
        return steps

    @cached_property
    def _labels(self) -> list[str]:
        """The model of each row of the table."""
        return model_labels(self.table, read_layout(self.table, self.path), self.path)

    @cached_property
    def _checkpoints(self) -> CheckpointTable:
        return self._read(self.table, {})

    def _read(self, table: pa.Table, where: dict[str, str]) -> CheckpointTable:
        """Return the rows that have a step. Copies of other checkpoints stay: the latest may be one."""
        # a metric that was measured nowhere is one all the same
        return read_checkpoint_table(empty_as_numbers(table), self.path, where, lambda line: None, keep_copies=True)

    def _selected(self, rule: Rule) -> CheckpointTable:
        """Return the rows of the layer, site and domain that a rule selects, by columns of these names."""
        asked = {"layer": rule.layer, "site": rule.site, "domain": rule.domain}
        columns = {key: first_column(self.table, [key]) for key in asked}
        for key, value in asked.items():
            if value is not None and columns[key] is None:
                raise refused(rule, f"{self.path} has no column {key!r} to select by; drop {key}")
        table = self.table
        if rule.layer == "last":
            table = self._last_layers(table, str(columns["layer"]))
            asked["site"] = rule.site or (HEAD_INPUT if columns["site"] is not None else None)
        if rule.layer in ("last", "all"):
            asked["layer"] = None
        where = {str(columns[key]): str(value) for key, value in asked.items() if value is not None}
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
    """Return a metric without the task in front of it, and that task, where the table has but this one.

    Rows of one task need no label to tell them apart, and `arc/acc` means their `acc` all the same.
    """
    for column in checkpoints.layout.apart:
        labels = {text for text in texts(checkpoints.table, column) if text}
        label = labels.pop() if len(labels) == 1 else None
        if label and metric.startswith(f"{label}/") and metric not in checkpoints.table.column_names:
            return metric.removeprefix(f"{label}/"), label
    return metric, None


def _place(rule: Rule) -> str | None:
    """Return the layer, site and domain that a rule names itself."""
    named = [("layer", rule.layer), ("site", rule.site), ("domain", rule.domain)]
    return " ".join(f"{key} {value}" for key, value in named if value is not None) or None
