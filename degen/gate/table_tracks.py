"""Tracks out of tables that others wrote: CSV, Parquet, results of lm-evaluation-harness.

Rows stand in the order of their steps. The latest step of a model is the largest that any of its rows has: a metric
that was not written there is missing there, however good it was before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from degen.hints import did_you_mean
from degen.metrics.checkpoint_table import Sheet
from degen.metrics.columns import first_column, keep_rows, numbers, texts
from degen.metrics.curve import Course
from degen.metrics.curve_options import Wishes
from degen.metrics.layout import read_layout, read_steps
from degen.metrics.metric_kinds import NO_FLOOR
from degen.metrics.read_table import stem
from degen.metrics.table_curves import Series, course_of, find_series

from .rule import Rule
from .tracks import Point, Track, Windows, point, refused

if TYPE_CHECKING:
    import pyarrow as pa

HEAD_INPUT = "head_input"


@dataclass(frozen=True)
class TableTracks:
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
        if not {"status", "duplicate_of"} <= set(self.table.column_names):
            return []
        named = "revision" if "revision" in self.table.column_names else read_layout(self.table, self.path).step
        rows = zip(self._labels, texts(self.table, named), texts(self.table, "status"), strict=True)
        return [f"{model}@{name}" for model, name, status in rows if status == "failed"]

    @property
    def samples(self) -> frozenset[str]:
        """None: a table does not say on which windows it was measured."""
        return frozenset()

    def windows(self, model: str, revision: str, domain: str | None) -> Windows | None:
        """None: see `samples`."""
        return None

    def tracks(self, rule: Rule) -> list[Track]:
        """What a rule is about, before its steps are chosen.

        Raises:
            DegenError: an unknown metric, or a selector that matches nothing.
        """
        if rule.model is not None and rule.model not in self.models:
            raise refused(rule, f"{self.path} has no model {rule.model!r}; {did_you_mean(rule.model, self.models)}")
        sheet = self._selected(rule)
        metric, only = _only_label(sheet, rule.metric)
        label = only or _place(rule)
        wishes = Wishes([metric], "min", {None: NO_FLOOR}, True, self.warn)
        found = find_series(sheet, wishes, ())
        models = self.models if rule.model is None else [rule.model]
        tracks = []
        for model in models:
            own = [series for series in found if series.model == model]
            tracks += [self._track(label, sheet, series, course_of(sheet, series, wishes)) for series in own]
            if not own:
                nowhere = Point(None, self._latest.get(model), None, None, f"no row of {rule.metric}")
                tracks.append(Track(model, None, (nowhere,)))
        return tracks

    def _track(self, label: str | None, sheet: Sheet, series: Series, course: Course) -> Track:
        # A course calls infinity missing; a gate need not: it breaks a bound like any other figure.
        raw = sheet.numbers(series.column)[series.rows]
        values = np.where(np.isnan(course.values) & np.isinf(raw), raw, course.values)
        if "status" in sheet.table.column_names:
            status = texts(sheet.table, "status")
            values[[status[row] == "failed" for row in series.rows]] = np.nan
        errors = course.errors if course.errors is not None else np.full(len(values), np.nan)
        points = [
            point(None, int(step), None if np.isnan(value) else float(value), float(error), None)
            for step, value, error in zip(course.steps, values, errors, strict=True)
        ]
        latest, last = self._latest[series.model], int(course.steps[-1])
        if last < latest:
            points.append(Point(None, latest, None, None, f"no row of it at step {latest}; its last is step {last}"))
        if without := self._stepless.get(series.model):
            points.append(Point(None, None, None, None, f"rows without a step, which may be its latest: {without}"))
        place = series.name.removesuffix(series.metric).rstrip("/")
        first = sheet.table.slice(int(series.rows[0]), 1)
        layer, site = (first_column(first, [key]) for key in ("layer", "site"))
        number = numbers(first, layer, self.path)[0] if layer is not None else np.nan
        return Track(
            series.model,
            place or label,
            tuple(points),
            int(number) if np.isfinite(number) else None,
            texts(first, site)[0] if site is not None else None,
        )

    @cached_property
    def _stepless(self) -> dict[str, int]:
        """How many rows of each model have no step: any of them may be the latest."""
        steps = read_steps(self.table, read_layout(self.table, self.path).step, self.path)
        return dict(Counter(label for label, step in zip(self._labels, steps, strict=True) if np.isnan(step)))

    @cached_property
    def _latest(self) -> dict[str, int]:
        steps: dict[str, int] = {}
        for model, step in zip(self._sheet.models, self._sheet.steps.tolist(), strict=True):
            steps[model] = max(step, steps.get(model, step))
        return steps

    @cached_property
    def _labels(self) -> list[str]:
        """The model of each row of the table."""
        model = read_layout(self.table, self.path).model
        named = texts(self.table, model) if model is not None else [None] * len(self.table)
        return [label or stem(self.path) for label in named]

    @cached_property
    def _sheet(self) -> Sheet:
        return self._sheet_of(self.table)

    def _sheet_of(self, table: pa.Table) -> Sheet:
        """The rows that have a step. Copies of other checkpoints stay: the latest may be one."""
        import pyarrow as pa

        for i, column in enumerate(table.schema):  # a metric that was measured nowhere is one all the same
            if pa.types.is_null(column.type):
                table = table.set_column(i, column.name, table.column(i).cast(pa.float64()))
        layout = read_layout(table, self.path)
        labels = texts(table, layout.model) if layout.model is not None else [None] * len(table)
        steps = read_steps(table, layout.step, self.path)
        kept = ~np.isnan(steps)
        models = [label or stem(self.path) for label, keep in zip(labels, kept, strict=True) if keep]
        return Sheet(table.filter(pa.array(kept)), steps[kept].astype(np.int64), models, layout, self.path)

    def _selected(self, rule: Rule) -> Sheet:
        """The rows of the layer, site and domain that a rule selects, by columns of these names."""
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
        return self._sheet_of(keep_rows(table, where, self.path)) if where or table is not self.table else self._sheet

    def _last_layers(self, table: pa.Table, column: str) -> pa.Table:
        """The rows of the last layer of each model."""
        import pyarrow as pa

        layers = np.nan_to_num(numbers(table, column, self.path), nan=-1.0).tolist()
        last: dict[str, float] = {}
        for model, layer in zip(self._labels, layers, strict=True):
            last[model] = max(layer, last.get(model, layer))
        return table.filter(pa.array([last[m] == layer for m, layer in zip(self._labels, layers, strict=True)]))


def _only_label(sheet: Sheet, metric: str) -> tuple[str, str | None]:
    """A metric without the task in front of it, and that task, where the table has but this one.

    Rows of one task need no label to tell them apart, and `arc/acc` means their `acc` all the same.
    """
    for column in sheet.layout.apart:
        labels = {text for text in texts(sheet.table, column) if text}
        label = labels.pop() if len(labels) == 1 else None
        if label and metric.startswith(f"{label}/") and metric not in sheet.table.column_names:
            return metric.removeprefix(f"{label}/"), label
    return metric, None


def _place(rule: Rule) -> str | None:
    """The layer, site and domain that a rule names itself."""
    named = [("layer", rule.layer), ("site", rule.site), ("domain", rule.domain)]
    return " ".join(f"{key} {value}" for key, value in named if value is not None) or None
