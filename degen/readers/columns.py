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
    """Return the name of the column that is called like the first possible of `names`; None where no column is.

    Args:
        table: the table.
        names: lower-case names, the preferred one first; upper and lower case in the table make no difference.
    """
    columns = {column.lower(): column for column in reversed(table.column_names)}
    return next((columns[name] for name in names if name in columns), None)


def is_numeric(table: pa.Table, column: str) -> bool:
    """Return whether the column called `column` holds numbers; False where it has no value at all."""
    import pyarrow as pa

    kind = table.schema.field(column).type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_empty(table: pa.Table, column: str) -> bool:
    """Return whether the column called `column` has no value at all, and so no type."""
    import pyarrow as pa

    return bool(pa.types.is_null(table.schema.field(column).type))


def empty_as_numbers(table: pa.Table) -> pa.Table:
    """Return the table with every column that has no value at all turned into one of numbers, all missing."""
    import pyarrow as pa

    empty = {name for name in table.column_names if is_empty(table, name)}
    return table.cast(
        pa.schema([field.with_type(pa.float64()) if field.name in empty else field for field in table.schema])
    )


def is_text(table: pa.Table, column: str) -> bool:
    """Return whether the column called `column` holds text, or True and False."""
    import pyarrow as pa

    kind = table.schema.field(column).type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind))


def numbers(table: pa.Table, column: str, path: Path) -> Floats:
    """Return the values of a column as float64: NaN for each that is missing, infinite beyond `MAX_VALUE`.

    Args:
        table: the table.
        column: one of its columns.
        path: file or folder of the table, for the error.

    Raises:
        DegenError: the column holds values that are no numbers.
    """
    import pyarrow as pa

    if is_empty(table, column):
        return np.full(len(table), np.nan)
    if not is_numeric(table, column):
        text = next((text for text in texts(table, column) if text is not None and not is_number_text(text)), None)
        problem = "holds numbers as text" if text is None else f"holds values that are no numbers, such as {text!r}"
        raise DegenError(f"{path}: column {column!r} {problem}; correct the column or name another")
    values = table[column].cast(pa.float64(), safe=False).to_pylist()  # to_numpy would load pandas
    return bounded(np.array([np.nan if value is None else value for value in values], dtype=np.float64))


def bounded(values: Floats) -> Floats:
    """Return values of which those beyond `MAX_VALUE` are infinite; their squares and products are no float64."""
    return np.where(np.abs(values) > MAX_VALUE, np.copysign(np.inf, values), values)


def texts(table: pa.Table, column: str) -> list[str | None]:
    """Return the values of a column as texts; None for each that is missing."""
    return [None if value is None else str(value) for value in table[column].to_pylist()]


def keep_rows(table: pa.Table, where: Mapping[str, str], path: Path) -> pa.Table:
    """Return the rows whose columns have given values.

    Args:
        table: the table.
        where: name of a column -> the value that it must have; numbers are compared as numbers.
        path: file or folder of the table, for the error.

    Returns:
        A table of at least one row.

    Raises:
        DegenError: the table lacks a column, a value does not occur in its column, or no row has all the values.
    """
    import pyarrow as pa

    kept = np.ones(len(table), dtype=bool)
    for column, value in where.items():
        if column not in table.column_names:
            raise DegenError(
                f"{path}: the table has no column {column!r} to filter by; {did_you_mean(column, table.column_names)}"
            )
        matches = _equal(table, column, value)
        if not matches.any():
            values = [text for text in texts(table, column) if text is not None]
            raise DegenError(f"{path}: column {column!r} never has the value {value!r}; {did_you_mean(value, values)}")
        kept &= matches
    if not kept.any():
        filters = ", ".join(f"{column}={value}" for column, value in where.items())
        raise DegenError(f"{path}: no row has {filters} at once; leave out one of these filters")
    return table.filter(pa.array(kept))


def _equal(table: pa.Table, column: str, value: str) -> Mask:
    if is_numeric(table, column) and is_number_text(value):
        return np.array([v is not None and float(v) == float(value) for v in table[column].to_pylist()], dtype=bool)
    import pyarrow as pa

    if pa.types.is_boolean(table.schema.field(column).type):
        value = value.capitalize()
    return np.array([text == value for text in texts(table, column)], dtype=bool)


def is_number_text(text: str) -> bool:
    """Return whether a text is a number as Python writes it, `nan` and `inf` included."""
    try:
        float(text)
    except ValueError:
        return False
    return True
