"""Read curves from a table: one for each model, metric and value of the columns that separate curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from degen.arrays import Floats, Ints
from degen.errors import DegenError
from degen.hints import did_you_mean
from degen.readers.columns import first_column, is_numeric, is_text, texts

from .checkpoint_table import CheckpointTable, is_of_run
from .curve import Curve, reason_for_missing
from .curve_options import CurveOptions, best_of
from .layout import ALWAYS_APART, PARAMETERS, TOKENS, WIDTH
from .metric_kinds import kind_of

OF_LOSS = ("perplexity", "bits_per_byte")  # metrics of a run that follow from its loss

T = TypeVar("T")


@dataclass(frozen=True)
class CurveRows:
    """The rows of a table that belong to one curve.

    Attributes:
        model: label of the model.
        metric: bare name of the metric.
        place: the text that separates this curve from others of the metric, as `lambada_openai`; None where it is the
            only curve.
        column: name of the column with the values.
        rows: indices of the rows, in the order of the table or of the steps.
    """

    model: str
    metric: str
    place: str | None
    column: str
    rows: Ints

    @property
    def name(self) -> str:
        """The name of the metric with the place in front: `lambada_openai/acc`."""
        return self.metric if self.place is None else f"{self.place}/{self.metric}"


def group_rows(
    checkpoints: CheckpointTable, options: CurveOptions, usual: Sequence[str], separate: bool = True
) -> list[CurveRows]:
    """Return the rows of each curve, ordered by model as in the table, then by metric as in the options.

    Args:
        checkpoints: the table.
        options: its metrics, and whether rows are sorted.
        usual: for a wide table, the metrics to take where the options name none.
        separate: whether columns other than the model and the metric separate curves.

    Raises:
        DegenError: the options name a metric that the table does not have.
    """
    layout, table = checkpoints.layout, checkpoints.table
    count = len(checkpoints.models)
    metrics = [str(m) for m in texts(table, layout.metric)] if layout.metric is not None else [""] * count
    apart = _columns_apart(checkpoints, metrics) if separate else []
    labels = list(zip(*(texts(table, c) for c in apart), strict=True)) if apart else [()] * count
    groups: dict[tuple[str, str, tuple[str | None, ...]], list[int]] = {}
    for row, key in enumerate(zip(checkpoints.models, metrics, labels, strict=True)):
        groups.setdefault(key, []).append(row)
    curves = []
    for (model, named, values), indices in groups.items():
        rows = np.array(indices, dtype=np.int64)
        if options.sort:
            rows = rows[_order(checkpoints, rows)]
        parts = [_label(checkpoints, c, v) for c, v in zip(apart, values, strict=True) if v]
        for column in layout.metrics:
            metric = column if layout.metric is None else named
            curves.append(CurveRows(model, metric, "/".join(parts) or None, column, rows))
    names = options.metrics or (usual if layout.metric is None else metrics)
    return _select_metrics(curves, checkpoints, list(dict.fromkeys(names)))


def _order(checkpoints: CheckpointTable, rows: Ints) -> Ints:
    """Return the order of some rows by step; by tokens where a step stands twice and all tokens are known."""
    steps, tokens = checkpoints.steps[rows], first_column(checkpoints.table, TOKENS)
    if len(np.unique(steps)) < len(steps) and tokens is not None and is_numeric(checkpoints.table, tokens):
        counted = checkpoints.numbers(tokens)[rows]
        if np.isfinite(counted).all():
            return np.lexsort((steps, counted))
    return np.argsort(steps, kind="stable")


def _label(checkpoints: CheckpointTable, column: str, value: str) -> str:
    """Return a value of a separating column as part of a curve's place.

    That is a text as it is, a few-shot setting as `5-shot`, a limit as `limit-100`, and any other value as `seed=0`.

    Args:
        checkpoints: the table.
        column: name of the column.
        value: a value of it, as text.
    """
    import pyarrow as pa

    table = checkpoints.table
    plain = is_text(table, column) and not pa.types.is_boolean(table.schema.field(column).type)
    if plain:
        return value
    written = {"num_fewshot": f"{value}-shot", "limit": f"limit-{value.removesuffix('.0')}"}
    return written.get(column.lower(), f"{column}={value}")


def _columns_apart(checkpoints: CheckpointTable, metrics: Sequence[str]) -> list[str]:
    """Return the names of the columns that separate several curves of one model and metric.

    A column does not if it has a single value for each model and metric; nor, outside `ALWAYS_APART`, if it only
    renames the step, with one value for each step and one step for each value.
    """
    columns = []
    for column in checkpoints.layout.apart:
        values = texts(checkpoints.table, column)
        rows = set(zip(checkpoints.models, metrics, checkpoints.steps.tolist(), values, strict=True))
        groups = {(model, metric) for model, metric, _, _ in rows}
        steps_of_groups = {(model, metric, step) for model, metric, step, _ in rows}
        values_of_groups = {(model, metric, value) for model, metric, _, value in rows}
        renames = len(rows) == min(len(steps_of_groups), len(values_of_groups))
        if len(values_of_groups) > len(groups) and (column.lower() in ALWAYS_APART or not renames):
            columns.append(column)
    return columns


def _select_metrics(
    curves: Sequence[CurveRows], checkpoints: CheckpointTable, metrics: Sequence[str]
) -> list[CurveRows]:
    """Return those of the curves whose metric is in `metrics`, ordered by model, then as in `metrics`.

    Args:
        curves: all curves of the table.
        checkpoints: the table.
        metrics: names of metrics, bare (`acc`) or whole (`arc/acc`).

    Raises:
        DegenError: no curve is of one of the metrics.
    """
    names = {name for curve in curves for name in (curve.metric, curve.name)}
    for name in metrics:
        if name not in names:
            raise DegenError(_no_metric(name, curves, checkpoints))
    models = {model: i for i, model in enumerate(dict.fromkeys(checkpoints.models))}
    positions = {name: i for i, name in enumerate(metrics)}

    def rank(curve: CurveRows) -> int:
        return min(positions.get(name, len(positions)) for name in (curve.name, curve.metric))

    chosen = (curve for curve in curves if rank(curve) < len(positions))
    return sorted(chosen, key=lambda curve: (models[curve.model], rank(curve)))


def _no_metric(name: str, curves: Sequence[CurveRows], checkpoints: CheckpointTable) -> str:
    """Return the message for a metric called `name` that none of the curves is of."""
    layout, table = checkpoints.layout, checkpoints.table
    if layout.metric is None and name in table.column_names and not is_numeric(table, name):
        return f"{checkpoints.path}: column {name!r} holds no numbers; name a metric that does"
    bare = [c.metric for c in curves if layout.metric is not None or c.metric in layout.likely]
    names = [*dict.fromkeys(bare), *(c.name for c in curves if c.metric in bare and "/" in name)]
    return f"{checkpoints.path}: no metric {name!r}; {did_you_mean(name, names)}"


def read_curve(checkpoints: CheckpointTable, group: CurveRows, options: CurveOptions) -> Curve:
    """Return one curve of a table.

    Values of failed checkpoints are missing, and so are infinite ones unless the options keep them.

    Args:
        checkpoints: the table.
        group: which rows and columns the curve is read from.
        options: how it is read.

    Raises:
        DegenError: the column holds values that are no numbers, or that of the standard errors a negative one.
    """
    rows, table = group.rows, checkpoints.table
    values = checkpoints.numbers(group.column)[rows]
    values[checkpoints.failed[rows] | ~(np.isfinite(values) | (np.isinf(values) & options.keep_infinite))] = np.nan
    width = _model_fact(checkpoints, WIDTH, rows)
    better = options.direction(group.metric)
    tokens = first_column(table, TOKENS)
    counted = tokens is not None and is_numeric(table, tokens)  # text such as "300B" is not read
    layer, site = _layer_and_site(checkpoints, int(rows[0]))
    revisions = [name or None for name in _take(texts(table, "revision"), rows)] if is_of_run(table) else None
    return Curve(
        model=group.model,
        metric=group.name,
        steps=checkpoints.steps[rows],
        values=values,
        better=better,
        floor=options.floor(group.model, group.metric, group.name, best_of(values, better), width),
        errors=_errors(checkpoints, group),
        parameters=_model_fact(checkpoints, PARAMETERS, rows),
        tokens=_finite(checkpoints.numbers(tokens)[rows]) if tokens is not None and counted else None,
        place=group.place,
        layer=layer,
        site=site,
        revisions=revisions,
        missing=_reasons(checkpoints, group.column, rows) if is_of_run(table) else None,
        freedom=[checkpoints.freedom] * len(rows) if checkpoints.freedom is not None else None,
        logarithmic=_is_logarithmic(group.metric, values),
    )


def slope_of_loss(checkpoints: CheckpointTable, column: str, rows: Ints) -> Floats:
    """Return by how much a metric of a run changes with the loss, in its unit per nat, at each of some checkpoints.

    Formulas: 1 for the loss; for perplexity, exp(loss), its value; for bits per byte, which are the loss times a
    constant of the windows, that constant.
    """
    values = checkpoints.numbers(column)[rows]
    if column == "perplexity":
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        slope: Floats = values / checkpoints.numbers("loss")[rows]
    return slope


def _is_logarithmic(metric: str, values: Floats) -> bool:
    """Return whether a metric, by its name, is judged on its logarithm, and all its values are positive."""
    kind = kind_of(metric)
    return kind is not None and kind.logarithmic and not (values <= 0).any()


def _reasons(checkpoints: CheckpointTable, column: str, rows: Ints) -> list[str]:
    """Return for each of the rows `rows` of a run's table why it has no value in `column`, if it has none."""
    selected = checkpoints.table.select(["status", "reason", column]).to_pylist()
    return [reason_for_missing(*row.values()) for row in _take(selected, rows)]


def _take(values: Sequence[T], rows: Ints) -> list[T]:
    return [values[row] for row in rows]


def _layer_and_site(checkpoints: CheckpointTable, row: int) -> tuple[int | None, str | None]:
    """Return the values of the columns `layer` and `site` in a row; None where there is no such column or value."""
    table = checkpoints.table
    layer, site = first_column(table, ["layer"]), first_column(table, ["site"])
    number = checkpoints.numbers(layer)[row] if layer is not None and is_numeric(table, layer) else np.nan
    name = table[site][row].as_py() if site is not None else None
    return int(number) if np.isfinite(number) else None, str(name) if name is not None else None


def _errors(checkpoints: CheckpointTable, group: CurveRows) -> Floats | None:
    """Return the standard errors of a curve's values, NaN where unknown; None where no value has one."""
    column = checkpoints.layout.errors.get(group.column)
    if column is None and group.column in OF_LOSS and is_of_run(checkpoints.table):
        errors = _errors(checkpoints, replace(group, column="loss"))  # by the delta method
        return None if errors is None else _finite(errors * slope_of_loss(checkpoints, group.column, group.rows))
    if column is None:
        return None
    errors = checkpoints.numbers(column)[group.rows]
    if (errors < 0).any():
        raise DegenError(
            f"{checkpoints.path}: column {column!r} holds {errors[errors < 0][0]:g}; a standard error must be 0 or more"
        )
    return _finite(errors)


def _finite(values: Floats) -> Floats | None:
    """Return values with NaN in place of infinity; None where no value is finite."""
    finite = np.isfinite(values)
    return np.where(finite, values, np.nan) if finite.any() else None


def _model_fact(checkpoints: CheckpointTable, names: Sequence[str], rows: Ints) -> int | None:
    """Return a whole number that holds for a model as such, as its parameters; None where no column has it.

    It is the first value of at least 1 in the first of the columns that has such a value.

    Args:
        checkpoints: the table.
        names: names of the columns to try, in this order.
        rows: indices of the model's rows.
    """
    for name in names:
        column = first_column(checkpoints.table, [name])
        if column is not None and is_numeric(checkpoints.table, column):
            values = checkpoints.numbers(column)[rows]
            known = values[np.isfinite(values) & (values >= 1)]
            if len(known):
                return int(known[0])
    return None
