"""Curves out of a table: its rows told apart by model and by what else tells curves apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats, Ints
from degen.errors import DegenError
from degen.hints import did_you_mean

from .checkpoint_table import CheckpointTable
from .columns import first_column, is_numeric, is_text, texts
from .curve import Curve
from .curve_options import CurveOptions, best_of
from .layout import PARAMETERS, TOKENS, WIDTH


@dataclass(frozen=True)
class CurveRows:
    """Rows of a table that are one metric of one model.

    Attributes:
        model: label of the model.
        metric: bare name of the metric.
        place: what tells it apart from others of that name: `lambada_openai`; None where nothing has to.
        column: which column has the values.
        rows: in the order of the table, or of the steps.
    """

    model: str
    metric: str
    place: str | None
    column: str
    rows: Ints

    @property
    def name(self) -> str:
        """The name of the metric with what tells it apart in front: `lambada_openai/acc`."""
        return self.metric if self.place is None else f"{self.place}/{self.metric}"


def group_rows(
    checkpoints: CheckpointTable, options: CurveOptions, unasked: Sequence[str], tell_apart: bool = True
) -> list[CurveRows]:
    """Group rows into curves of the metrics asked for: models as they appear, then metrics as asked, then the rest.

    Args:
        checkpoints: the rows.
        options: what was asked for.
        unasked: of a wide table, the metrics to take where none was asked for.
        tell_apart: whether columns beside the model tell curves apart.

    Raises:
        DegenError: a metric that is not there.
    """
    layout, table = checkpoints.layout, checkpoints.table
    count = len(checkpoints.models)
    metrics = [str(m) for m in texts(table, layout.metric)] if layout.metric is not None else [""] * count
    apart = _columns_apart(checkpoints, metrics) if tell_apart else []
    labels = list(zip(*(texts(table, c) for c in apart), strict=True)) if apart else [()] * count
    groups: dict[tuple[str, str, tuple[str | None, ...]], list[int]] = {}
    for row, key in enumerate(zip(checkpoints.models, metrics, labels, strict=True)):
        groups.setdefault(key, []).append(row)
    found = []
    for (model, named, values), members in groups.items():
        rows = np.array(members, dtype=np.int64)
        if options.sort:
            rows = rows[np.argsort(checkpoints.steps[rows], kind="stable")]
        parts = [_label(checkpoints, c, v) for c, v in zip(apart, values, strict=True) if v]
        for column in layout.metrics:
            metric = column if layout.metric is None else named
            found.append(CurveRows(model, metric, "/".join(parts) or None, column, rows))
    unasked = unasked if layout.metric is None else list(dict.fromkeys(metrics))
    return _asked_for(found, checkpoints, list(dict.fromkeys(options.metrics)) or list(unasked))


def _label(checkpoints: CheckpointTable, column: str, value: str) -> str:
    import pyarrow as pa

    table = checkpoints.table
    own = is_text(table, column) and not pa.types.is_boolean(table.schema.field(column).type)
    return value if own else f"{column}={value}"


def _columns_apart(checkpoints: CheckpointTable, metrics: Sequence[str]) -> list[str]:
    """Return the columns that tell curves of one model and metric apart.

    A column with one value for each does not, nor one that is but another name of the step: a value for every step,
    and a step for every value.
    """
    found = []
    for column in checkpoints.layout.apart:
        of_group: dict[object, set[object]] = {}
        of_step: dict[object, set[object]] = {}
        of_value: dict[object, set[object]] = {}
        rows = zip(
            checkpoints.models, metrics, checkpoints.steps.tolist(), texts(checkpoints.table, column), strict=True
        )
        for model, metric, step, value in rows:
            of_group.setdefault((model, metric), set()).add(value)
            of_step.setdefault((model, metric, step), set()).add(value)
            of_value.setdefault((model, metric, value), set()).add(step)
        varies = any(len(values) > 1 for values in of_group.values())
        if varies and any(len(s) > 1 for s in (*of_step.values(), *of_value.values())):
            found.append(column)
    return found


def _asked_for(curves: Sequence[CurveRows], checkpoints: CheckpointTable, asked: Sequence[str]) -> list[CurveRows]:
    """Return the curves of some metrics, named bare or whole, in the order of models and names."""
    there = {name for curve in curves for name in (curve.metric, curve.name)}
    for name in asked:
        if name not in there:
            raise DegenError(_no_metric(name, curves, checkpoints))
    models = {model: i for i, model in enumerate(dict.fromkeys(checkpoints.models))}
    positions = {name: i for i, name in reversed(list(enumerate(asked)))}

    def rank(curve: CurveRows) -> int:
        return min(positions.get(curve.name, len(positions)), positions.get(curve.metric, len(positions)))

    chosen = (curve for curve in curves if rank(curve) < len(positions))
    return sorted(chosen, key=lambda curve: (models[curve.model], rank(curve)))


def _no_metric(name: str, curves: Sequence[CurveRows], checkpoints: CheckpointTable) -> str:
    """Return the message for a user whose metric is not there."""
    layout, table = checkpoints.layout, checkpoints.table
    if layout.metric is None and name in table.column_names and not is_numeric(table, name):
        return f"{checkpoints.path}: column {name!r} holds no numbers; name a metric that does"
    bare = [c.metric for c in curves if layout.metric is not None or c.metric in layout.likely]
    names = [*dict.fromkeys(bare), *(c.name for c in curves if c.metric in bare and "/" in name)]
    return f"{checkpoints.path}: no metric {name!r}; {did_you_mean(name, names)}"


def read_curve(checkpoints: CheckpointTable, group: CurveRows, options: CurveOptions) -> Curve:
    """Read one curve.

    Values of checkpoints that failed are missing, as are infinite ones unless the options keep them.

    Raises:
        DegenError: the column holds no numbers, or a negative standard error.
    """
    rows, table = group.rows, checkpoints.table
    values = checkpoints.numbers(group.column)[rows]
    values[checkpoints.failed[rows] | ~(np.isfinite(values) | (np.isinf(values) & options.keep_infinite))] = np.nan
    width = _first(checkpoints, WIDTH, rows)
    better = options.direction(group.metric)
    tokens = first_column(table, TOKENS)
    counted = tokens is not None and is_numeric(table, tokens)  # "300B" is for readers
    layer, site = _layer_and_site(checkpoints, int(rows[0]))
    return Curve(
        model=group.model,
        metric=group.name,
        steps=checkpoints.steps[rows],
        values=values,
        better=better,
        floor=options.floor(group.model, group.metric, group.name, best_of(values, better), width),
        errors=_errors(checkpoints, group),
        parameters=_first(checkpoints, PARAMETERS, rows),
        tokens=_known(checkpoints.numbers(tokens)[rows]) if tokens is not None and counted else None,
        place=group.place,
        layer=layer,
        site=site,
    )


def _layer_and_site(checkpoints: CheckpointTable, row: int) -> tuple[int | None, str | None]:
    """Return what the columns `layer` and `site` say of a row."""
    table = checkpoints.table
    layer, site = first_column(table, ["layer"]), first_column(table, ["site"])
    number = checkpoints.numbers(layer)[row] if layer is not None and is_numeric(table, layer) else np.nan
    name = table[site][row].as_py() if site is not None else None
    return int(number) if np.isfinite(number) else None, str(name) if name is not None else None


def _errors(checkpoints: CheckpointTable, group: CurveRows) -> Floats | None:
    column = checkpoints.layout.errors.get(group.column)
    if column is None:
        return None
    errors = checkpoints.numbers(column)[group.rows]
    if (errors < 0).any():
        raise DegenError(
            f"{checkpoints.path}: column {column!r} holds {errors[errors < 0][0]:g}; a standard error is 0 or more"
        )
    return _known(errors)


def _known(values: Floats) -> Floats | None:
    """Return values with NaN for what is not finite; None where nothing is left."""
    found = np.where(np.isfinite(values), values, np.nan)
    return None if np.isnan(found).all() else found


def _first(checkpoints: CheckpointTable, names: Sequence[str], rows: Ints) -> int | None:
    """Return a fact of the model: the first value of the first such column that has one above 0."""
    for name in names:
        column = first_column(checkpoints.table, [name])
        if column is not None and is_numeric(checkpoints.table, column):
            values = checkpoints.numbers(column)[rows]
            known = values[np.isfinite(values) & (values >= 1)]
            if len(known):
                return int(known[0])
    return None
