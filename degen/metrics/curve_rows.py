"""Find which rows of a table belong to each curve: by model, metric and the columns that separate curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from degen.arrays import Ints
from degen.errors import DegenError
from degen.hints import did_you_mean
from degen.readers.columns import first_column, is_numeric, is_text
from degen.readers.name_words import VALIDATION, words_of

from .checkpoint_table import CheckpointTable, is_of_run
from .curve_options import CurveOptions
from .layout import ALWAYS_APART, TOKENS
from .measured_rows import FEW, drop_repeated, measured_rows


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
        options: its metrics, and whether rows are sorted; counts rows that are left out.
        usual: for a wide table, the metrics to take where the options name none.
        separate: whether columns other than the model and the metric separate curves.

    Raises:
        DegenError: the options name a metric that the table does not have.
    """
    layout = checkpoints.layout
    if layout.metric is not None:
        metrics = [str(m) for m in checkpoints.texts(layout.metric)]
        curves = _curves_of_column(checkpoints, layout.metrics[0], metrics, separate)
        names: Sequence[str] = options.metrics or metrics
    else:
        names = options.metrics or usual
        columns = dict.fromkeys(names) if set(names) <= set(layout.metrics) else layout.metrics
        curves = [c for column in columns for c in _curves_of_column(checkpoints, column, None, separate)]
    selected = _select_metrics(curves, checkpoints, list(dict.fromkeys(names)))
    return [_with_rows_of_curve(checkpoints, curve, options) for curve in selected]


def _curves_of_column(
    checkpoints: CheckpointTable, column: str, metrics: Sequence[str] | None, separate: bool
) -> list[CurveRows]:
    """Return the curves whose values stand in one column, each with all its rows, in the order of the table.

    In a log the rows with a value decide which columns separate curves, and others belong to a curve only where they
    have the same values in these columns.

    Args:
        checkpoints: the table.
        column: the column of the values.
        metrics: for a long table, the metric of each row; None for a wide one, whose metric is the column.
        separate: whether columns other than the model and the metric separate curves.
    """
    models = checkpoints.models
    named = metrics if metrics is not None else [column] * len(models)
    present = checkpoints.present(column)
    measured = np.flatnonzero(present) if checkpoints.layout.is_log and present.any() else np.arange(len(models))
    apart = _columns_apart(checkpoints, named, measured) if separate else []
    labels = list(zip(*(checkpoints.texts(c) for c in apart), strict=True)) if apart else [()] * len(models)
    groups: dict[tuple[str, str, tuple[str | None, ...]], list[int]] = {}
    for row, key in enumerate(zip(models, named, labels, strict=True)):
        groups.setdefault(key, []).append(row)
    with_value = {(models[row], named[row], labels[row]) for row in measured.tolist()}
    of_models = {(model, metric) for model, metric, _ in with_value}
    curves = []
    for key, indices in groups.items():
        if key not in with_value and key[:2] in of_models:
            continue
        parts = [_label(checkpoints, c, v) for c, v in zip(apart, key[2], strict=True) if v]
        curves.append(CurveRows(key[0], key[1], "/".join(parts) or None, column, np.array(indices, dtype=np.int64)))
    return curves


def _with_rows_of_curve(checkpoints: CheckpointTable, curve: CurveRows, options: CurveOptions) -> CurveRows:
    """Return a curve without the rows of other metrics and without repeated ones, sorted by step if it is to be."""
    rows = curve.rows
    if not is_of_run(checkpoints.table):
        present = checkpoints.present(curve.column)
        belongs = rows[measured_rows(checkpoints.steps[rows], present[rows])]
        lacking, rows = belongs[~present[belongs]], belongs[present[belongs]]
        lacking = lacking[np.unique(checkpoints.steps[lacking], return_index=True)[1]]  # a step lacks it once
        values, is_log = checkpoints.numbers(curve.column)[rows], checkpoints.layout.is_log
        kept, reasons = drop_repeated(checkpoints.steps[rows], values, is_log and options.undo)
        options.left_out.update(reasons)
        in_order = is_log and (np.diff(checkpoints.steps[rows[kept]]) > 0).all()
        rows = np.sort(np.concatenate([rows[kept], lacking]))
        rows = rows[np.argsort(checkpoints.steps[rows], kind="stable")] if in_order else rows
    return replace(curve, rows=rows[_order(checkpoints, rows)] if options.sort else rows)


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


def _columns_apart(checkpoints: CheckpointTable, metrics: Sequence[str], measured: Ints) -> list[str]:
    """Return the names of the columns that separate several curves of one model and metric.

    A column does not if it has a single value for each model and metric; nor, outside `ALWAYS_APART`, if it only
    renames the step, with one value for each step and one step for each value; nor, in a log, if most of its values
    occur once, as times and messages do, or hardly any step has several, as where phases of a training follow each
    other, unless a value is a word for kept data, as `valid` beside `train`.

    Args:
        checkpoints: the table.
        metrics: the metric of each row.
        measured: the rows that count.
    """
    columns = []
    steps = checkpoints.steps.tolist()
    for column in checkpoints.layout.apart:
        values = checkpoints.texts(column)
        rows = {(checkpoints.models[i], metrics[i], steps[i], values[i]) for i in measured.tolist()}
        groups = {(model, metric) for model, metric, _, _ in rows}
        steps_of_groups = {(model, metric, step) for model, metric, step, _ in rows}
        values_of_groups = {(model, metric, value) for model, metric, _, value in rows}
        several = len(rows) - len(steps_of_groups) > FEW * len(steps_of_groups)  # values at a step
        of_kept_data = any(words_of(value) in VALIDATION for _, _, value in values_of_groups if value)
        in_log = of_kept_data or (several and len(values_of_groups) <= len(rows) / 2)
        tells = in_log or not checkpoints.layout.is_log
        renames = len(rows) <= min(len(steps_of_groups), len(values_of_groups))
        separates = column.lower() in ALWAYS_APART or not renames
        if len(values_of_groups) > len(groups) and separates and tells:
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
