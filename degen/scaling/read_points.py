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
from degen.readers.columns import numbers, texts
from degen.runs.run import Run
from degen.tables import CHECKPOINTS

from .column_checks import check_columns
from .points import Points, Warn
from .quantities import LAYERS, SECONDS, WIDTH, find_columns

if TYPE_CHECKING:
    import pyarrow as pa


def read_points(
    path: Path, columns: Mapping[str, str], warn: Warn = lambda line: None, tokens_per_step: int | None = None
) -> Points:
    """Read points from a run folder, its table `checkpoints` or any CSV or Parquet table.

    Rows that are equal in every column, but for one that only numbers the rows, count once. Rows of models before
    training, as step 0 of a series, are left out; of a run also checkpoints that failed or repeat an earlier one.

    Args:
        path: the run folder, file, or folder of Parquet parts.
        columns: quantity -> its column, for columns with unusual names, as `{"params": "N"}`.
        warn: called with each warning.
        tokens_per_step: training tokens of a step, for rows without tokens; None if unknown.

    Returns:
        The points, one for each row that is left.

    Raises:
        DegenError: the path cannot be read, a column of `columns` does not exist, or every checkpoint failed.
    """
    path = expand_user(path)
    opened = open_target(path, warn, only_tables=True)
    table = opened.table(CHECKPOINTS) if isinstance(opened, Run) else opened.table
    quantities = find_columns(table.column_names, columns, path)
    if tokens_per_step is not None:
        table, quantities = _with_tokens(table, quantities, tokens_per_step, path)
    points = Points(path, table, quantities, tuple(range(1, table.num_rows + 1)))
    if {"status", "duplicate_of"} <= set(table.column_names):
        points = points.take([i for i, status in enumerate(texts(table, "status")) if status != "failed"])
        if not len(points):
            raise DegenError(
                f"{path}: no checkpoint of this run could be measured; see the column reason of table checkpoints, and "
                "scan again"
            )
        original = np.array([status != "duplicate" for status in texts(points.table, "status")])
        if not original.all():
            warn(
                f"{path}: checkpoints left out, because they are copies of other revisions (status duplicate): "
                f"{(~original).sum()}"
            )
            points = points.take(original)
    first = _distinct_rows(points)
    if len(first) < len(points):
        warn(f"{path}: rows left out, because they repeat other rows: {len(points) - len(first)}")
    points = points.take(first)
    untrained = points.untrained
    if untrained.any() and not untrained.all():
        warn(
            f"{path}: rows left out, because they are of models before training (0 tokens or steps): {untrained.sum()}"
        )
        points = points.take(~untrained)
    named = {name: column for name, column in quantities.items() if column in (*columns, *columns.values())}
    for line in check_columns(points, named):
        warn(line)
    return points


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
    word = name.lower()
    measures = word in (*LAYERS, *WIDTH, *SECONDS) or word.startswith(("upstream", "downstream")) or kind_of(name)
    return not measures and all(a < b for a, b in pairwise(values.to_pylist()))
