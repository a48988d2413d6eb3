from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degen import DegenError, __version__
from degen.errors import ProbeError
from degen.paths import atomic
from degen.tables import ENGINE_TABLES, KEYS, Column, Tables, file_name, write_part

names = st.text(min_size=0, max_size=300) | st.sampled_from(
    ["", ".", "..", "../..", "a/b", "_x", ".x", "lr=3", "CON", "step10", "ü", "a%2Fb", "~", "-", "\x00", "a" * 500]
)


@given(names)
def test_a_name_becomes_one_plain_component_of_a_path(name: str) -> None:
    escaped = file_name(name)
    assert escaped
    assert escaped[0] not in "._"
    assert not set(escaped) & set('/\\=:*?"<>|\x00 ')
    assert escaped.isascii()
    assert len(f"{escaped}.parquet") < 160
    assert (Path("folder") / escaped).parent == Path("folder")


@given(st.lists(names, min_size=2, max_size=20, unique=True))
def test_different_model_names_become_different_file_names(several: list[str]) -> None:
    assert len({file_name(name) for name in several}) == len(several)


@given(st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9.+@,_-]{0,80}", fullmatch=True))
def test_ordinary_model_names_stay_as_they_are_in_file_names(name: str) -> None:
    assert file_name(name) == name


def test_long_names_that_begin_alike_stay_different() -> None:
    assert file_name("a" * 400 + "x") != file_name("a" * 400 + "y")


PROBE = {"checkpoints": (Column("speed", "float64", "m/s", "how fast", summary=True),),
         "layers": (Column("depth", "int64", "", "how deep"),),
         "own": (Column("kind", "string", "", "which", key=True), Column("good", "bool", "", "whether"))}  # fmt: skip


def test_every_table_has_its_full_typed_schema_keys_first() -> None:
    tables = Tables({"probe": PROBE})
    assert tables.names == ["checkpoints", "layers", "own", "timing"]
    for table in tables.names:
        schema = tables.schema(table)
        assert schema.names[:3] == [c.name for c in KEYS] == ["model", "revision", "step"]
        assert schema.field("step").type == pa.int64()
        assert {str(f.type) for f in schema} <= {"double", "int64", "string", "bool"}
        for field in schema:
            assert field.metadata[b"definition"]
            assert b"unit" in field.metadata
    assert tables.schema("checkpoints").field("speed").metadata == {
        b"unit": b"m/s", b"definition": b"how fast", b"glance": b"1",
    }  # fmt: skip
    assert tables.schema("layers").names[3:] == [c.name for c in ENGINE_TABLES["layers"]] + ["depth"]


@pytest.mark.parametrize("taken", ["model", "status"])
def test_a_column_that_is_there_already_is_refused(taken: str) -> None:
    with pytest.raises(DegenError, match=f"probe late: column checkpoints.{taken} is already filled by degen itself"):
        Tables({"late": {"checkpoints": (Column(taken, "string", "", "again"),)}})


def test_two_probes_may_not_fill_one_column() -> None:
    with pytest.raises(DegenError, match=r"probe b: column own.kind is already filled by probe a"):
        Tables({"a": PROBE, "b": {"own": (Column("kind", "string", "", "again"),)}})


def test_rows_of_several_probes_meet_by_their_keys() -> None:
    tables = Tables({"probe": PROBE, "other": {"own": (Column("extra", "float64", "", "more"),)}})
    merged = tables.merge([
        ("probe", {"own": [{"kind": "x", "good": True}, {"kind": "y", "good": False}]}),
        ("other", {"own": [{"kind": "y", "extra": 2.0}, {"kind": "z", "extra": 3.0}]}),
        ("degen", {"checkpoints": [{"tied": True}]}),
        ("probe", {"checkpoints": [{"speed": 1.0}]}),
    ])  # fmt: skip
    assert merged["own"] == [
        {"kind": "x", "good": True}, {"kind": "y", "good": False, "extra": 2.0}, {"kind": "z", "extra": 3.0},
    ]  # fmt: skip
    assert merged["checkpoints"] == [{"tied": True, "speed": 1.0}]
    assert merged["layers"] == []


def test_columns_that_a_probe_has_not_declared_are_refused() -> None:
    tables = Tables({"probe": PROBE})
    with pytest.raises(DegenError, match=r"own\.stray is not declared"):
        tables.merge([("probe", {"own": [{"kind": "x", "stray": 1}]})])
    with pytest.raises(DegenError, match="'elsewhere'"):
        tables.merge([("probe", {"elsewhere": []})])


def test_a_part_has_every_column_and_its_provenance(tmp_path: Path) -> None:
    schema = Tables({"probe": PROBE}).schema("checkpoints")
    path = tmp_path / "checkpoints" / "m" / "step1.parquet"
    write_part(path, schema, [{"model": "m", "revision": "step1", "speed": float("nan")}], {"degen.config_hash": "abc"})
    read = pq.ParquetFile(path).read()
    assert read.schema.equals(schema)
    assert read.schema.field("speed").metadata == schema.field("speed").metadata
    notes = {k: v for k, v in read.schema.metadata.items() if k.startswith(b"degen")}
    assert notes == {
        b"degen.schema_version": b"6", b"degen.version": __version__.encode(), b"degen.config_hash": b"abc",
    }  # fmt: skip
    (row,) = read.to_pylist()
    assert row["step"] is None
    assert row["speed"] != row["speed"]  # NaN was measured; it is no null


def test_an_empty_part_still_has_its_schema(tmp_path: Path) -> None:
    schema = Tables({"probe": PROBE}).schema("own")
    write_part(tmp_path / "x.parquet", schema, [], {})
    assert pq.read_schema(tmp_path / "x.parquet").names == schema.names


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    with atomic(path) as temporary:
        temporary.write_text("old")
    assert path.read_text() == "old"

    def interrupted() -> None:
        with atomic(path) as temporary:
            temporary.write_text("new, half")
            assert temporary.name.startswith(".")
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file.txt"]


TYPES = {"own": tuple(Column(f"a_{t}", t, "", t) for t in ("float64", "int64", "string", "bool", "list<float32>"))}


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("float64", "many", "'many'"),
        ("float64", "a" * 500, "'" + "a" * 79),
        ("float64", [1.0], "[1.0]"),
        ("int64", 2.5, "2.5"),  # Arrow would store 2
        ("int64", np.float32(0.5), "np.float32(0.5)"),
        ("int64", 2**70, str(2**70)),
        ("int64", math.nan, "nan"),
        ("string", 3, "3"),
        ("bool", 1.0, "1.0"),
        ("list<float32>", ["x"], "['x']"),
        ("list<float32>", np.ones((2, 2)), "array([[1., 1.], [1., 1.]])"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_probe_and_column(column: Any, value: Any, shown: str) -> None:
    tables = Tables({"probe": TYPES})
    rows = {"other": [{"a_float64": "x"}], "own": [{}, {f"a_{column}": None}, {f"a_{column}": value}]}
    with pytest.raises(ProbeError) as error:
        tables.check_values("mine", rows)
    assert str(error.value) == f"probe mine: column own.a_{column} is of {column}, not {shown}"


def test_values_of_their_types_pass_and_are_stored_as_they_are(tmp_path: Path) -> None:
    tables = Tables({"probe": TYPES})
    rows = [
        {"a_float64": 2, "a_int64": 3.0, "a_string": "x", "a_bool": True, "a_list<float32>": [1, 2.5]},
        {"a_float64": np.float32(0.5), "a_int64": np.int32(4), "a_list<float32>": np.ones(2, dtype=np.float32)},
        {"a_float64": math.inf, "a_int64": None, "a_list<float32>": np.ones(2)},
    ]
    tables.check_values("mine", {"own": rows})
    write_part(tmp_path / "part.parquet", tables.schema("own"), rows, {})
    stored = pq.read_table(tmp_path / "part.parquet")
    assert stored["a_float64"].to_pylist() == [2.0, 0.5, math.inf]
    assert stored["a_int64"].to_pylist() == [3, 4, None]
    assert stored["a_list<float32>"].to_pylist() == [[1.0, 2.5], [1.0, 1.0], [1.0, 1.0]]
