from __future__ import annotations

import json
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

import degen
from degen import DegenError
from degen.runs.export import export_table


@pytest.fixture(scope="module")
def run(series: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> degen.Run:
    return degen.scan(series, corpus=corpus, tokens=200, context=32, out=tmp_path_factory.mktemp("export") / "run")


@pytest.mark.parametrize("table", ["checkpoints", "layers", "windows", "spectrum"])
def test_every_format_holds_the_same_rows(run: degen.Run, table: str, tmp_path: Path) -> None:
    rows = run.table(table).to_pylist()
    files = {ending: tmp_path / "deep" / f"t{ending}" for ending in (".parquet", ".csv", ".json", ".duckdb")}
    for file in files.values():
        assert export_table(run, table, file) == len(rows)
    assert pq.read_table(files[".parquet"]).to_pylist() == rows
    assert json.loads(files[".json"].read_text()) == rows
    with duckdb.connect(str(files[".duckdb"])) as connection:
        relation = connection.sql(f'select * from "{table}"')
        assert relation.columns == list(rows[0])
        assert relation.fetchall() == [tuple(row.values()) for row in rows]
    csv = pl.read_csv(files[".csv"], infer_schema_length=None)
    assert csv.columns == list(rows[0])
    for name in csv.columns:
        if csv[name].dtype.is_numeric():
            assert csv[name].to_list() == [row[name] for row in rows]


def test_a_duckdb_file_gains_tables_and_replaces_its_own(run: degen.Run, tmp_path: Path) -> None:
    file = tmp_path / "all.duckdb"
    for table in ("layers", "windows", "layers"):
        export_table(run, table, file)
    with duckdb.connect(str(file)) as connection:
        assert {row[0] for row in connection.sql("show tables").fetchall()} == {"layers", "windows"}
        assert connection.sql("select count(*) from layers").fetchall() == [(len(run.table("layers")),)]


def test_what_cannot_be_written_is_refused(run: degen.Run, tmp_path: Path) -> None:
    with pytest.raises(DegenError, match=r"ends in none of \.parquet, \.csv, \.json, \.duckdb"):
        export_table(run, "layers", tmp_path / "t.xlsx")
    with pytest.raises(DegenError, match="no table 'layer'; there are checkpoints, domains, layers"):
        export_table(run, "layer", tmp_path / "t.csv")
    (tmp_path / "t.duckdb").write_text("not a database")
    with pytest.raises(DegenError, match="not a DuckDB file"):
        export_table(run, "layers", tmp_path / "t.duckdb")
    assert not (tmp_path / "t.csv").exists()
