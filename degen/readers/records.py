"""Records of a log as a table: nested objects flattened, numbers as columns of numbers, other values as text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from degen.hints import some_names

if TYPE_CHECKING:
    import pyarrow as pa

Record = Mapping[str, Any]
_AS_TEXT = {"nan": math.nan, "infinity": math.inf, "-infinity": -math.inf, "inf": math.inf, "-inf": -math.inf}
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
MAX_COLUMNS = 20_000  # no log has more metrics, but a record of a whole data set has


def records_to_table(records: Sequence[Record]) -> tuple[pa.Table, list[str]]:
    """Return records as a table with a row for each, and what was left out of them.

    A nested object becomes columns `outer/inner`. A column is one of numbers where all its values are numbers, true and
    false excepted, or texts such as `NaN` and `Infinity`; NaN stays a value. Texts such as `2.5` are numbers, too, in a
    column of numbers and fractions alone; `1` and `2` may be names. Of other columns numbers become text. Lists are
    left out.

    Args:
        records: at least one.

    Returns:
        The table, whose columns are in the order of their first value; and a phrase for each thing left out.

    Raises:
        ValueError: the records have too many names for a log.
    """
    import pyarrow as pa

    columns: dict[str, list[Any]] = {}
    lists: set[str] = set()
    for row, record in enumerate(records):
        for name, value in _flat(record, ""):
            if isinstance(value, list):
                lists.add(name)
            elif value is not None:
                values = columns.setdefault(name, [])
                values += [None] * (row - len(values))
                values[row:] = [value]
        if len(columns) > MAX_COLUMNS:
            raise ValueError(f"more than {MAX_COLUMNS} names")
    arrays = {name: _array(values + [None] * (len(records) - len(values))) for name, values in columns.items() if name}
    left_out = [f"lists ({some_names(sorted(lists))})"] if lists else []
    return pa.table(arrays), left_out


def counted(count: int, things: str) -> str:
    """Return a phrase such as `2 rows without a step`, whose first word is singular for one: `1 row without a step`."""
    word, space, rest = things.partition(" ")
    return f"{count} {word.removesuffix('s') if count == 1 else word}{space}{rest}"


def _flat(record: Record, outer: str) -> Iterable[tuple[str, Any]]:
    for name, value in record.items():
        whole = f"{outer}{encodable(str(name).strip())}"
        if isinstance(value, dict):
            yield from _flat(value, f"{whole}/")
        else:
            yield whole, value


def encodable(text: str) -> str:
    """Return a text with `?` for halves of characters, which JSON can hold and Arrow cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _array(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    if all(value is None or isinstance(value, bool) for value in values):
        return pa.array(values, pa.bool_())
    written = _written_numbers(values)
    numbers = [written.get(value) if isinstance(value, str) else _number(value) for value in values]
    if any(number is None and value is not None for number, value in zip(numbers, values, strict=True)):
        return pa.array([None if value is None else encodable(str(value)) for value in values], pa.string())
    if all(number is None or (isinstance(number, int) and abs(number) < 2**63) for number in numbers):
        return pa.array(numbers, pa.int64())
    return pa.array([None if number is None else _as_float(number) for number in numbers], pa.float64())


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _written_numbers(values: Sequence[Any]) -> dict[str, float]:
    """Return a dict: text -> the number that it stands for, for the texts among the values of a column.

    Texts such as `NaN` always do; others do where all texts are numbers and one is a fraction, as `2.5` or `1e-4`.
    """
    texts = {value for value in values if isinstance(value, str)}
    words = {text: _AS_TEXT[text.lower()] for text in texts if text.lower() in _AS_TEXT}
    others = texts - words.keys()
    are_numbers = all(_NUMBER.fullmatch(text) for text in others)
    if are_numbers and any(not text.lstrip("+-").isdecimal() for text in others):
        words |= {text: float(text) for text in others}
    return words
