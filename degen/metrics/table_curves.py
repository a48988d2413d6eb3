"""Read one curve of a table from its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from degen.arrays import Floats, Ints
from degen.errors import DegenError
from degen.readers.columns import first_column, is_numeric, texts

from .checkpoint_table import CheckpointTable, is_of_run
from .curve import Curve, reason_for_missing
from .curve_options import CurveOptions, best_of
from .curve_rows import CurveRows
from .layout import PARAMETERS, TOKENS, WIDTH
from .metric_kinds import kind_of

OF_LOSS = ("perplexity", "bits_per_byte")  # metrics of a run that follow from its loss

T = TypeVar("T")


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
    better = options.direction(group.metric, group.name)
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
