"""Rows and columns of a table that a user names: filtered, as numbers, as texts, by role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.hints import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa


def first_column(table: pa.Table, names: Sequence[str]) -> str | None:
    """Return the first of some names that is a column, however it is capitalised; None where none is."""
    columns = {column.lower(): column for column in reversed(table.column_names)}
    return next((columns[name] for name in names if name in columns), None)


def is_numeric(table: pa.Table, column: str) -> bool:
    """Return whether a column holds numbers; one without any value holds none."""
    import pyarrow as pa

    kind = table.schema.field(column).type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_empty(table: pa.Table, column: str) -> bool:
    """Return whether a column has no value at all, so that nobody can say what it would hold."""
    import pyarrow as pa

    return bool(pa.types.is_null(table.schema.field(column).type))


def empty_as_numbers(table: pa.Table) -> pa.Table:
    """Return a table whose columns without any value are columns of numbers that are all missing."""
    import pyarrow as pa

    for i, column in enumerate(table.schema):
        if pa.types.is_null(column.type):
            table = table.set_column(i, column.name, table.column(i).cast(pa.float64()))
    return table


def is_text(table: pa.Table, column: str) -> bool:
    """Return whether a column holds text, or yes and no."""
    import pyarrow as pa

    kind = table.schema.field(column).type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind))


def numbers(table: pa.Table, column: str, path: Path) -> Floats:
    """Return a column as float64, NaN where it is missing.

    Args:
        table: the table.
        column: one of its columns.
        path: where the table came from, for the error.

    Raises:
        DegenError: the column holds something else.
    """
    import pyarrow as pa

    if pa.types.is_null(table.schema.field(column).type):
        return np.full(len(table), np.nan)
    if not is_numeric(table, column):
        odd = next((text for text in texts(table, column) if text is not None and not _number(text)), None)
        what = "holds numbers as text" if odd is None else f"holds no numbers ({odd!r}, for one)"
        raise DegenError(f"{path}: column {column!r} {what}; mend it or name another")
    found: Floats = np.array(table[column].cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    return found


def texts(table: pa.Table, column: str) -> list[str | None]:
    """Return a column as texts, None where it is missing."""
    return [None if value is None else str(value) for value in table[column].to_pylist()]


def keep_rows(table: pa.Table, where: Mapping[str, str], path: Path) -> pa.Table:
    """Return the rows whose columns have the values asked for.

    Args:
        table: the table.
        where: the value of each column; numbers are compared as numbers.
        path: where the table came from, for the error.

    Returns:
        At least one row.

    Raises:
        DegenError: no such column, a value that does not occur, or no row with all of them.
    """
    import pyarrow as pa

    kept = np.ones(len(table), dtype=bool)
    for column, value in where.items():
        if column not in table.column_names:
            raise DegenError(f"{path}: no column {column!r} to filter by; {did_you_mean(column, table.column_names)}")
        found = _equal(table, column, value)
        if not found.any():
            there = [text for text in texts(table, column) if text is not None]
            raise DegenError(f"{path}: column {column!r} is nowhere {value!r}; {did_you_mean(value, there)}")
        kept &= found
    if not kept.any():
        asked = ", ".join(f"{column}={value}" for column, value in where.items())
        raise DegenError(f"{path}: no row has {asked} at once; ask for less")
    return table.filter(pa.array(kept))


def _equal(table: pa.Table, column: str, value: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if is_numeric(table, column) and _number(value):
        return np.array([v is not None and float(v) == float(value) for v in table[column].to_pylist()], dtype=bool)
    import pyarrow as pa

    if pa.types.is_boolean(table.schema.field(column).type):
        value = value.capitalize()
    return np.array([text == value for text in texts(table, column)], dtype=bool)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
