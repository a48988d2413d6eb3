"""Records as a table: which columns they have, and of which types."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

from degen.readers.records import MAX_COLUMNS, counted, records_to_table


def test_nested_names_types_and_gaps() -> None:
    records = [
        {"step": 1, "eval": {"loss": 2.5, "by": {"task": "a"}}, "done": False, "image": [1]},
        {"step": 2, "written": "2.5", "late": True, "name": "1", "mixed": 3},
        {"step": 2**63, "written": "NaN", "name": "2", "mixed": "x", "odd": "\ud800"},
    ]
    table, left_out = records_to_table(records)
    assert table.schema.names == [
        "step", "eval/loss", "eval/by/task", "done", "written", "late", "name", "mixed", "odd"
    ]  # fmt: skip
    assert table.schema.types == [
        pa.float64(), pa.float64(), pa.string(), pa.bool_(), pa.float64(), pa.bool_(), pa.string(), pa.string(),
        pa.string(),
    ]  # fmt: skip
    rows = table.to_pylist()
    assert [row["step"] for row in rows] == [1.0, 2.0, 2.0**63]
    assert [row["eval/loss"] for row in rows] == [2.5, None, None]
    assert [row["mixed"] for row in rows] == [None, "3", "x"]
    assert (rows[1]["written"], math.isnan(rows[2]["written"]), rows[2]["odd"]) == (2.5, True, "?")
    assert left_out == ["lists (image)"]
    whole, nothing = records_to_table([{"step": 2**63 - 1}, {"step": -(2**63) + 1}])
    assert (whole.schema.types, nothing) == ([pa.int64()], [])


def test_records_of_too_many_names_are_no_log() -> None:
    most = {f"a{i}": i for i in range(MAX_COLUMNS)}
    assert records_to_table([most])[0].num_columns == MAX_COLUMNS
    with pytest.raises(ValueError, match="more than 20000 names"):
        records_to_table([most, {"b": 1}])


def test_one_thing_is_singular() -> None:
    assert [counted(n, "rows without a step") for n in (1, 2)] == ["1 row without a step", "2 rows without a step"]
