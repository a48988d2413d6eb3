"""Read the points of a scaling law from a run or a table, without repeated rows and untrained models."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.errors import DegenError
from degen.metrics.metric_kinds import kind_of
from degen.metrics.open_target import open_target
from degen.paths import expand_user
from degen.readers.columns import is_numeric, numbers, texts
from degen.runs.run import Run
from degen.tables import CHECKPOINTS

from .column_checks import check_columns
from .column_names import column_of
from .points import Points, Warn
from .quantities import LAYERS, SECONDS, WIDTH, find_columns

if TYPE_CHECKING:
    import pyarrow as pa


def read_points(
    path: Path,
    columns: Mapping[str, str],
    warn: Warn = lambda line: None,
    tokens_per_step: int | None = None,
    note: Warn = lambda line: None,
) -> Points:
    """Read points from a run folder, its table `checkpoints` or any CSV or Parquet table.

    Rows that are equal in every column, but for one that only numbers the rows, count once. Rows of models before
    training, as step 0 of a series, are left out; of a run also checkpoints that failed or repeat an earlier one.

    Args:
        path: the run folder, file, or folder of Parquet parts.
        columns: quantity -> its column, for columns with unusual names, as `{"params": "N"}`.
        warn: called with each warning.
        tokens_per_step: training tokens of a step, for rows without tokens; None if unknown.
        note: called with each line about a training loss that was passed over.

    Returns:
        The points, one for each row that is left; `left_out` counts the others.

    Raises:
        DegenError: the path cannot be read, a column of `columns` does not exist, or every checkpoint failed.
    """
    path = expand_user(path)
    opened = open_target(path, warn, only_tables=True)
    run = isinstance(opened, Run)
    table = opened.table(CHECKPOINTS) if isinstance(opened, Run) else opened.table
    quantities = _find_quantities(table, columns, path)
    origins: dict[str, str] = {}
    if tokens_per_step is not None:
        origins["tokens"] = f"{quantities.get('steps', 'steps')} × {tokens_per_step} tokens per step"
        table, quantities = _with_tokens(table, quantities, tokens_per_step, path)
    kind, left_out = ("run", ()) if isinstance(opened, Run) else (opened.kind, opened.left_out)
    named = {name: column for name, column in quantities.items() if column in (*columns, *columns.values())}
    numbers_of_rows = tuple(range(1, table.num_rows + 1))
    points = Points(path, table, quantities, numbers_of_rows, kind, origins, left_out, tuple(named))
    if {"status", "duplicate_of"} <= set(table.column_names):
        points = _measured_originals(points)
    points = points.take(_distinct_rows(points), "that repeat other rows")
    untrained = points.untrained
    if not untrained.all():
        points = points.take(~untrained, "of models before training (0 tokens or steps)")
    doubts = check_columns(points, named, units=not run)
    for line in doubts.warnings:
        warn(line)
    for line in doubts.notes:
        note(line)
    return points


def _find_quantities(table: pa.Table, columns: Mapping[str, str], path: Path) -> dict[str, str]:
    """Return a dict: quantity -> its column, by the names and types of a table's columns; see `find_columns`."""
    names = table.column_names
    empty = {name for name in names if table[name].null_count == len(table)}
    without_numbers = {name for name in names if not is_numeric(table, name)} | empty
    return find_columns(names, columns, path, without_numbers, empty)


def _measured_originals(points: Points) -> Points:
    """Return the checkpoints of a run that could be measured and are no copies of others.

    Raises:
        DegenError: every checkpoint failed.
    """
    status = texts(points.table, "status")
    measured = points.take([i for i, state in enumerate(status) if state != "failed"], "that failed")
    if not len(measured):
        raise DegenError(
            f"{points.path}: no checkpoint of this run could be measured; see the column reason of table checkpoints, "
            "and scan again"
        )
    original = [i for i, state in enumerate(texts(measured.table, "status")) if state != "duplicate"]
    return measured.take(original, "of copies of other revisions (status duplicate)")


def _with_tokens(
    table: pa.Table, quantities: Mapping[str, str], tokens_per_step: int, path: Path
) -> tuple[pa.Table, dict[str, str]]:
    """Return the table with missing training tokens filled in, as steps times tokens per step; and its quantities.

    Args:
        table: the rows.
        quantities: quantity -> its column.
        tokens_per_step: training tokens of a step.
        path: the table, for the error.

    Returns:
        The table, and a dict as `quantities` that includes the column of tokens.

    Raises:
        DegenError: the table has no column of steps, or `tokens_per_step` is below 1.
    """
    import pyarrow as pa

    if tokens_per_step < 1:
        raise DegenError(f"--tokens-per-step {tokens_per_step}: must be 1 or more")
    if "steps" not in quantities:
        raise DegenError(
            f"{path}: --tokens-per-step needs a column of steps, and the table has none; name it with "
            "--columns steps=COLUMN"
        )
    tokens = numbers(table, quantities["steps"], path) * tokens_per_step
    name = quantities.get("tokens")
    if name is not None:
        known = numbers(table, name, path)
        tokens = np.where(np.isnan(known), tokens, known)
        table = table.drop_columns([name])
    name = name or "tokens"
    return table.append_column(name, pa.array(tokens)), {**quantities, "tokens": name}


def _distinct_rows(points: Points) -> list[int]:
    """Return the indices of the rows that do not repeat an earlier row; columns of row numbers are ignored."""
    import pyarrow as pa

    table, columns = points.table, []
    for name in table.column_names:
        values = table[name]
        kind = values.type
        if pa.types.is_timestamp(kind) or pa.types.is_duration(kind) or pa.types.is_time(kind):  # some in nanoseconds
            values = values.cast(pa.string())
        if not _numbers_rows(name, values, points.columns):
            columns.append(["nan" if value != value else value for value in values.to_pylist()])
    seen: dict[tuple[Any, ...], int] = {}
    for i, row in enumerate(zip(*columns, strict=True)):
        seen.setdefault(row, i)
    return list(seen.values())


def _numbers_rows(name: str, values: pa.ChunkedArray, columns: Mapping[str, str]) -> bool:
    """Return whether a column only numbers the rows: integers that rise from row to row, under no known name.

    Args:
        name: name of the column.
        values: the values of the column.
        columns: quantity -> its column; these columns are no row numbers.
    """
    import pyarrow as pa

    if name in columns.values() or not pa.types.is_integer(values.type) or values.null_count:
        return False
    known = column_of((*LAYERS, *WIDTH, *SECONDS), [name]) is not None
    measures = known or name.lower().startswith(("upstream", "downstream")) or kind_of(name)
    return not measures and all(a < b for a, b in pairwise(values.to_pylist()))
