"""Courses out of a table: its rows told apart by model and by what else tells series apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats, Ints
from degen.errors import DegenError
from degen.hints import did_you_mean

from .checkpoint_table import Sheet
from .columns import first_column, is_numeric, is_text, texts
from .curve import Course
from .curve_options import Wishes, best_of
from .layout import PARAMETERS, TOKENS, WIDTH


@dataclass(frozen=True)
class Series:
    """Rows of a sheet that are one metric of one model.

    Attributes:
        model: label of the model.
        metric: bare name of the metric.
        name: the name with what tells it apart in front: `lambada_openai/acc`.
        column: which column has the values.
        rows: in the order of the table, or of the steps.
    """

    model: str
    metric: str
    name: str
    column: str
    rows: Ints


def find_series(sheet: Sheet, wishes: Wishes, unasked: Sequence[str], tell_apart: bool = True) -> list[Series]:
    """Every series of the metrics asked for: models as they appear, then metrics as asked, then the rest.

    Args:
        sheet: the rows.
        wishes: what was asked for.
        unasked: of a wide table, the metrics to take where none was asked for.
        tell_apart: whether columns beside the model tell series apart.

    Raises:
        DegenError: a metric that is not there.
    """
    layout = sheet.layout
    count = len(sheet.models)
    metrics = [str(m) for m in texts(sheet.table, layout.metric)] if layout.metric is not None else [""] * count
    apart = _columns_apart(sheet, metrics) if tell_apart else []
    labels = list(zip(*(texts(sheet.table, c) for c in apart), strict=True)) if apart else [()] * count
    groups: dict[tuple[str, str, tuple[str | None, ...]], list[int]] = {}
    for row, key in enumerate(zip(sheet.models, metrics, labels, strict=True)):
        groups.setdefault(key, []).append(row)
    series = []
    for (model, named, values), members in groups.items():
        rows = np.array(members, dtype=np.int64)
        if wishes.sort:
            rows = rows[np.argsort(sheet.steps[rows], kind="stable")]
        for column in layout.metrics:
            metric = column if layout.metric is None else named
            parts = [_label(sheet, c, v) for c, v in zip(apart, values, strict=True) if v]
            series.append(Series(model, metric, "/".join([*parts, metric]), column, rows))
    return _chosen(series, sheet, wishes, unasked if layout.metric is None else list(dict.fromkeys(metrics)))


def _label(sheet: Sheet, column: str, value: str) -> str:
    import pyarrow as pa

    own = is_text(sheet.table, column) and not pa.types.is_boolean(sheet.table.schema.field(column).type)
    return value if own else f"{column}={value}"


def _columns_apart(sheet: Sheet, metrics: Sequence[str]) -> list[str]:
    """The columns that tell series of one model and metric apart.

    A column with one value for each does not, nor one that is but another name of the step: a value for every step,
    and a step for every value.
    """
    found = []
    for column in sheet.layout.apart:
        of_group: dict[object, set[object]] = {}
        of_step: dict[object, set[object]] = {}
        of_value: dict[object, set[object]] = {}
        rows = zip(sheet.models, metrics, sheet.steps.tolist(), texts(sheet.table, column), strict=True)
        for model, metric, step, value in rows:
            of_group.setdefault((model, metric), set()).add(value)
            of_step.setdefault((model, metric, step), set()).add(value)
            of_value.setdefault((model, metric, value), set()).add(step)
        varies = any(len(values) > 1 for values in of_group.values())
        if varies and any(len(s) > 1 for s in (*of_step.values(), *of_value.values())):
            found.append(column)
    return found


def _chosen(series: Sequence[Series], sheet: Sheet, wishes: Wishes, unasked: Sequence[str]) -> list[Series]:
    """The series asked for, in order."""
    asked = list(dict.fromkeys(wishes.metrics)) or list(unasked)
    there = {name for s in series for name in (s.metric, s.name)}
    for name in asked:
        if name not in there:
            raise DegenError(_no_metric(name, series, sheet))
    models = {model: i for i, model in enumerate(dict.fromkeys(sheet.models))}
    place = {name: i for i, name in reversed(list(enumerate(asked)))}

    def rank(s: Series) -> int:
        return min(place.get(s.name, len(place)), place.get(s.metric, len(place)))

    return sorted((s for s in series if rank(s) < len(place)), key=lambda s: (models[s.model], rank(s)))


def _no_metric(name: str, series: Sequence[Series], sheet: Sheet) -> str:
    """What to tell a user whose metric is not there."""
    long = sheet.layout.metric
    if long is None and name in sheet.table.column_names and not is_numeric(sheet.table, name):
        return f"{sheet.place}: column {name!r} holds no numbers; name a metric that does"
    bare = [s.metric for s in series if long is not None or s.metric in sheet.layout.likely]
    names = [*dict.fromkeys(bare), *(s.name for s in series if s.metric in bare and "/" in name)]
    return f"{sheet.place}: no metric {name!r}; {did_you_mean(name, names)}"


def course_of(sheet: Sheet, series: Series, wishes: Wishes) -> Course:
    """One course.

    Values that are infinite count as missing, as do those of checkpoints whose status is `failed`.

    Raises:
        DegenError: the column holds no numbers, or a negative standard error.
    """
    rows, table = series.rows, sheet.table
    values = sheet.numbers(series.column)[rows]
    values[~np.isfinite(values)] = np.nan
    if {"status", "duplicate_of"} <= set(table.column_names):
        status = texts(table, "status")
        values[[status[row] == "failed" for row in rows]] = np.nan
    width = _first(sheet, WIDTH, rows)
    better = wishes.direction(series.metric)
    tokens = first_column(table, TOKENS)
    counted = tokens is not None and is_numeric(table, tokens)  # "300B" is for readers
    return Course(
        model=series.model,
        metric=series.name,
        steps=sheet.steps[rows],
        values=values,
        better=better,
        floor=wishes.floor(series.model, series.metric, series.name, best_of(values, better), width),
        errors=_errors(sheet, series),
        parameters=_first(sheet, PARAMETERS, rows),
        tokens=_known(sheet.numbers(tokens)[rows]) if tokens is not None and counted else None,
    )


def _errors(sheet: Sheet, series: Series) -> Floats | None:
    column = sheet.layout.errors.get(series.column)
    if column is None:
        return None
    errors = sheet.numbers(column)[series.rows]
    if (errors < 0).any():
        raise DegenError(
            f"{sheet.place}: column {column!r} holds {errors[errors < 0][0]:g}; a standard error is 0 or more"
        )
    return _known(errors)


def _known(values: Floats) -> Floats | None:
    """Values with NaN for what is not finite; None where nothing is left."""
    found = np.where(np.isfinite(values), values, np.nan)
    return None if np.isnan(found).all() else found


def _first(sheet: Sheet, names: Sequence[str], rows: Ints) -> int | None:
    """A fact of the model: the first value of the first such column that has one above 0."""
    for name in names:
        column = first_column(sheet.table, [name])
        if column is not None and is_numeric(sheet.table, column):
            values = sheet.numbers(column)[rows]
            known = values[np.isfinite(values) & (values >= 1)]
            if len(known):
                return int(known[0])
    return None
