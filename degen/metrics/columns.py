"""Rows and columns of a table: rows filtered by value, columns as numbers or as texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats, Mask
from degen.errors import DegenError
from degen.hints import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

MAX_VALUE = 1e100  # no metric, size or cost is larger


def first_column(table: pa.Table, names: Sequence[str]) -> str | None:
    """Return the column that has the first of some lower-case names, in any case; None where no column has one."""
    columns = {column.lower(): column for column in reversed(table.column_names)}
    return next((columns[name] for name in names if name in columns), None)


def is_numeric(table: pa.Table, column: str) -> bool:
    """Return whether a column holds numbers; False for a column without any value."""
    import pyarrow as pa

    kind = table.schema.field(column).type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_empty(table: pa.Table, column: str) -> bool:
    """Return whether a column has no value at all, and so no type."""
    import pyarrow as pa

    return bool(pa.types.is_null(table.schema.field(column).type))


def empty_as_numbers(table: pa.Table) -> pa.Table:
    """Return a table in which the columns without any value are columns of numbers, all missing."""
    import pyarrow as pa

    empty = {name for name in table.column_names if is_empty(table, name)}
    return table.cast(
        pa.schema([field.with_type(pa.float64()) if field.name in empty else field for field in table.schema])
    )


def is_text(table: pa.Table, column: str) -> bool:
    """Return whether a column holds text or truth values."""
    import pyarrow as pa

    kind = table.schema.field(column).type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind))


def numbers(table: pa.Table, column: str, path: Path) -> Floats:
    """Return a column as float64, NaN where it is missing, infinite where it is beyond `MAX_VALUE`.

    Args:
        table: the table.
        column: one of its columns.
        path: file or folder of the table, for the error.

    Raises:
        DegenError: the column holds something else.
    """
    import pyarrow as pa

    if is_empty(table, column):
        return np.full(len(table), np.nan)
    if not is_numeric(table, column):
        text = next((text for text in texts(table, column) if text is not None and not _is_number(text)), None)
        problem = "holds numbers as text" if text is None else f"holds no numbers ({text!r}, for one)"
        raise DegenError(f"{path}: column {column!r} {problem}; mend it or name another")
    values = table[column].cast(pa.float64(), safe=False).to_pylist()  # to_numpy would load pandas
    return bounded(np.array([np.nan if value is None else value for value in values], dtype=np.float64))


def bounded(values: Floats) -> Floats:
    """Return values of which those beyond `MAX_VALUE` are infinite; their squares and products are no float64."""
    return np.where(np.abs(values) > MAX_VALUE, np.copysign(np.inf, values), values)


def texts(table: pa.Table, column: str) -> list[str | None]:
    """Return a column as texts, None where it is missing."""
    return [None if value is None else str(value) for value in table[column].to_pylist()]


def keep_rows(table: pa.Table, where: Mapping[str, str], path: Path) -> pa.Table:
    """Return the rows whose columns have given values.

    Args:
        table: the table.
        where: the required value of each column; numbers are compared as numbers.
        path: file or folder of the table, for the error.

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
        matches = _equal(table, column, value)
        if not matches.any():
            values = [text for text in texts(table, column) if text is not None]
            raise DegenError(f"{path}: column {column!r} is nowhere {value!r}; {did_you_mean(value, values)}")
        kept &= matches
    if not kept.any():
        filters = ", ".join(f"{column}={value}" for column, value in where.items())
        raise DegenError(f"{path}: no row has {filters} at once; leave out one of them")
    return table.filter(pa.array(kept))


def _equal(table: pa.Table, column: str, value: str) -> Mask:
    if is_numeric(table, column) and _is_number(value):
        return np.array([v is not None and float(v) == float(value) for v in table[column].to_pylist()], dtype=bool)
    import pyarrow as pa

    if pa.types.is_boolean(table.schema.field(column).type):
        value = value.capitalize()
    return np.array([text == value for text in texts(table, column)], dtype=bool)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
