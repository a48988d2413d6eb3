"""`degen scan`, `show` and `export` as they are typed."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from degen.cli.output import sparkline
from faults.command import SMALL, degen, degen_process
from packaging.version import Version
from tiny import make_series

from degen import read_run

pytestmark = pytest.mark.usefixtures("own_folder")

TABLES = ("checkpoints", "layers", "domains", "windows", "spectrum", "timing")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, series: Path, corpus: Path) -> Path:
    out = tmp_path_factory.mktemp("scanning") / "run"
    assert degen("scan", series, "--corpus", corpus, *SMALL, "--out", out).code == 0
    return out


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight checkpoints, step0 to step128."""
    return make_series(tmp_path_factory.mktemp("eight") / "eight", (0, 2, 4, 8, 16, 32, 64, 128), num_hidden_layers=1)


# --- stdout and stderr ---------------------------------------------------------------------------------------------


def test_stdout_of_a_scan_with_json_is_one_document(series: Path, corpus: Path, tmp_path: Path) -> None:
    result = degen_process(
        "scan", series, "--corpus", corpus, *SMALL, "--tokens", 40_000, "--out", tmp_path / "r", "--json"
    )
    assert result.code == 0
    document = result.json()
    assert document["run"] == str(tmp_path / "r")
    assert [row["revision"] for row in document["rows"]] == ["step0", "step100", "step1000"]
    assert document["rows"] == read_run(tmp_path / "r").checkpoints()
    lines = result.err.splitlines()
    assert lines[0].startswith("warning: ")
    assert "of 40000 tokens; the scan goes on" in lines[0]
    assert [line.split(" ok ")[0] for line in lines[1:]] == [
        "[1/3] tiny@step0", "[2/3] tiny@step100", "[3/3] tiny@step1000"
    ]  # fmt: skip


def test_json_of_an_incomplete_scan_has_every_row(corpus: Path, tmp_path: Path) -> None:
    series = make_series(tmp_path / "tiny", (0, 1))
    (series / "step1" / "config.json").unlink()
    result = degen("scan", series, "--corpus", corpus, *SMALL, "--out", tmp_path / "r", "--json")
    assert result.code == 4
    assert [row["status"] for row in result.json()["rows"]] == ["ok", "failed"]
    assert "no config.json" in result.json()["rows"][1]["reason"]
    printed = degen("show", tmp_path / "r")
    assert printed.code == 0
    assert "no config.json" in " ".join(printed.out.split())


def test_json_of_show_equals_that_of_the_scan(run: Path) -> None:
    result = degen("show", run, "--json")
    assert (result.code, result.err) == (0, "")
    assert result.json() == {"run": str(run), "rows": read_run(run).checkpoints()}


def test_show_puts_a_sparkline_beside_every_metric(run: Path) -> None:
    result = degen("show", run)
    assert (result.code, result.err) == (0, "")
    rows = read_run(run).checkpoints()
    lines = result.out.splitlines()
    for metric in ("anisotropy", "loss", "singular_entropy", "effective_rank"):
        line = next(x for x in lines if x.split()[:2] == ["tiny", metric])
        values = [row[metric] for row in rows]
        spark = line.split()[2]
        assert len(spark) == 3
        assert spark[values.index(min(values))] == "▁"
        first, *late = values  # the first tenth of training is drawn within the range of the rest, as by saturation
        assert spark == sparkline([min(max(first, min(late)), max(late)), *late])
        error = rows[-1].get(f"{metric}_se")
        cells = re.split(r"\s{2,}", line.strip())
        assert cells[-1] == f"{values[-1]:.4g}" + (f" ± {error:.2g}" if error is not None else "")
        assert cells[3] == f"{values[0]:.4g}"
        best = (max if metric == "effective_rank" else min)(values[1:])  # step 0 is the beginning
        assert cells[4:6] == [f"{best:.4g}", str(rows[values.index(best)]["step"])]


def test_show_layers_has_a_column_for_each_layer(run: Path) -> None:
    result = degen("show", run, "--layers")
    assert result.code == 0
    rows = {(r["revision"], r["layer"], r["site"]): r for r in read_run(run).table("layers").to_pylist()}
    block = result.out.partition("anisotropy by layer\n")[2].splitlines()
    heads = re.split(r"\s{2,}", block[0].strip())
    assert heads == ["model", "revision", "0 embedding", "1", "2", "2 head_input"]
    for line, revision in zip(block[2:5], ("step0", "step100", "step1000"), strict=True):
        cells = line.split()
        assert cells[:2] == ["tiny", revision]
        sites = [(0, "embedding"), (1, "block"), (2, "block"), (2, "head_input")]
        expected = [rows[revision, *site]["anisotropy"] for site in sites]
        assert [float(c) for c in cells[2:]] == pytest.approx(expected, rel=1e-3)
    document = degen("show", run, "--layers", "--json").json()
    assert document["rows"] == read_run(run).table("layers").to_pylist()


def test_show_layers_gives_each_reason_once_behind_the_tables(series: Path, corpus: Path, tmp_path: Path) -> None:
    probes = ("--probes", "isoscore", "--tokens", "200", "--context", "32", "--threads", "1", "-o", tmp_path / "run")
    assert degen("scan", series, "--corpus", corpus, *probes).code == 0
    rows = read_run(tmp_path / "run").table("layers").to_pylist()
    (reason,) = {row["reason"] for row in rows}
    shown = degen("show", tmp_path / "run", "--layers").out
    assert shown.count(reason) == 1
    assert shown.splitlines()[-1] == f"{len(rows)} of {len(rows)} rows: {reason}"


# --- dry run -------------------------------------------------------------------------------------------------------


def test_dry_run_writes_nothing_and_counts_the_cost(series: Path, corpus: Path, tmp_path: Path) -> None:
    args = ("scan", series, "--corpus", corpus, *SMALL, "--out", tmp_path / "r", "--dry-run")
    result = degen(*args, "--json")
    assert result.code == 0
    assert list(tmp_path.iterdir()) == []
    rows = result.json()["rows"]
    assert [row["revision"] for row in rows] == ["step0", "step100", "step1000"]
    size = (series / "step0" / "model.safetensors").stat().st_size
    assert all(0.9 * size < row["bytes"] <= size for row in rows)
    assert all(row["flops"] > 2 * 128 * row["parameters"] / 2 for row in rows)
    assert "3 checkpoints" in degen(*args).out
    heads = degen(*args, "--probes", "spectrum", "--json").json()["rows"]
    assert [row["bytes"] for row in heads] == [(416 + 1) * 32 * 4] * 3
    assert list(tmp_path.iterdir()) == []


def test_dry_run_gives_the_reason_for_checkpoints_that_will_fail(corpus: Path, tmp_path: Path) -> None:
    series = make_series(tmp_path / "tiny", (0, 1))
    (series / "step1" / "model.safetensors").unlink()
    rows = degen("scan", series, "--dry-run", "--json").json()["rows"]
    assert rows[0]["reason"] is None
    assert "no weights" in rows[1]["reason"]


# --- series --------------------------------------------------------------------------------------------------------


def test_several_series_are_scanned_into_one_run_with_their_labels(
    series: Path, eight: Path, corpus: Path, tmp_path: Path
) -> None:
    result = degen(
        "scan", f"zebra={series}", eight, f"ant={series / 'step100'}",
        "--corpus", corpus, *SMALL, "--steps", "0,100,128", "--out", tmp_path / "r", "--json",
    )  # fmt: skip
    assert result.code == 0
    assert [(row["model"], row["revision"], row["step"]) for row in result.json()["rows"]] == [
        ("zebra", "step0", 0), ("zebra", "step100", 100), ("eight", "step0", 0), ("eight", "step128", 128),
        ("ant", "step100", 100),
    ]  # fmt: skip
    by_name = {(row["model"], row["revision"]): row for row in result.json()["rows"]}
    assert by_name["ant", "step100"]["loss"] == by_name["zebra", "step100"]["loss"]
    assert sorted(p.name for p in (tmp_path / "r" / "checkpoints").iterdir()) == ["ant", "eight", "zebra"]
    models = read_run(tmp_path / "r").table("spectrum")["model"].to_pylist()
    assert models == sorted(models, key=["zebra", "eight", "ant"].index)


@pytest.mark.parametrize(
    ("steps", "chosen"),
    [
        ("all", [0, 2, 4, 8, 16, 32, 64, 128]),
        ("0", [0]),
        ("0,16,3", [0, 2, 16]),
        ("9,10,8", [8]),
        ("0:128:64", [0, 64, 128]),
        ("2:10:4,128", [2, 4, 8, 128]),
        ("log:3", [2, 16, 128]),
        ("log:1", [128]),
        ("999999", [128]),
    ],
)
def test_steps_option_selects_checkpoints(eight: Path, steps: str, chosen: list[int]) -> None:
    rows = degen("scan", eight, "--steps", steps, "--dry-run", "--json").json()["rows"]
    assert [row["step"] for row in rows] == chosen


def test_scan_with_steps_measures_only_the_selected_checkpoints(eight: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    result = degen("scan", eight, "--steps", "0,128", "--probes", "spectrum", "--threads", 1, "--out", out, "--json")
    assert [row["step"] for row in result.json()["rows"]] == [0, 128]
    assert {p.name for p in (out / "spectrum" / "eight").iterdir()} == {"step0.parquet", "step128.parquet"}


# --- samples -------------------------------------------------------------------------------------------------------


def test_sample_option_scans_the_windows_of_an_earlier_run(
    run: Path, series: Path, eight: Path, corpus: Path, tmp_path: Path
) -> None:
    sample = run / "sample.parquet"
    args = (*SMALL[:2], "--context", 99, "--seed", 5, "--threads", 1, "--sample", sample)  # the sample decides
    result = degen("scan", series, eight, *args, "--steps", "0,100", "--out", tmp_path / "r")
    assert result.code == 0
    assert "warning" not in result.err
    assert (tmp_path / "r" / "sample.parquet").read_bytes() == sample.read_bytes()
    again, first = read_run(tmp_path / "r"), read_run(run)
    keep = {"model": "tiny", "revision": "step100"}

    def rows(of: Any, table: str) -> list[dict[str, Any]]:
        return [row for row in of.table(table).to_pylist() if keep.items() <= row.items()]

    for table in ("windows", "layers", "checkpoints", "spectrum"):
        assert rows(again, table) == rows(first, table)
        assert rows(again, table)
    windows = [(row["window"], row["document"], row["domain"], row["tokens"]) for row in rows(first, "windows")]
    other = [row for row in again.table("windows").to_pylist() if row["model"] == "eight" and row["step"] == 0]
    assert [(row["window"], row["document"], row["domain"], row["tokens"]) for row in other] == windows
    assert again.info["sample"]["taken_from"] == str(sample)


# --- export --------------------------------------------------------------------------------------------------------


def equal(value: Any, expected: Any) -> bool:
    """Whether two values have one type and are equal, NaN to NaN."""
    if isinstance(value, float) and isinstance(expected, float) and math.isnan(value) and math.isnan(expected):
        return True
    return bool(value == expected) and type(value) is type(expected)


def assert_rows(rows: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(rows) == len(expected) > 0
    for row, right in zip(rows, expected, strict=True):
        assert list(row) == list(right)
        assert not {name: (row[name], right[name]) for name in right if not equal(row[name], right[name])}


@pytest.mark.parametrize("table", TABLES)
def test_export_keeps_every_value(run: Path, tmp_path: Path, table: str) -> None:
    whole = read_run(run).table(table)
    right = whole.to_pylist()
    for ending in ("parquet", "csv", "json", "duckdb"):
        to = tmp_path / "deep" / f"a.{ending}"
        result = degen("export", run, "--table", table, "--to", to)
        assert (result.code, result.err) == (0, "")
        assert result.out == f"{to}: {len(right)} rows of {table}\n"
    folder = tmp_path / "deep"
    assert pq.read_schema(folder / "a.parquet").field(0).metadata == whole.schema.field(0).metadata
    assert_rows(pq.read_table(folder / "a.parquet").to_pylist(), right)
    assert_rows(polars.read_parquet(folder / "a.parquet").to_dicts(), right)
    assert_rows(json.loads((folder / "a.json").read_text(encoding="utf-8")), right)
    with duckdb.connect(str(folder / "a.duckdb")) as connection:
        assert_rows(connection.sql(f"SELECT * FROM {table}").to_arrow_table().to_pylist(), right)
    strings = {f.name: pa.types.is_string(f.type) for f in whole.schema}
    csv = polars.read_csv(
        folder / "a.csv",
        schema_overrides=polars.DataFrame(whole.slice(0, 0)).schema,
    )
    assert_rows(csv.to_dicts(), right)
    is_exact = Version(pandas.__version__) >= Version("3.1")  # by default
    exact: Any = {} if is_exact else {"float_precision": "round_trip"}
    frame = pandas.read_csv(folder / "a.csv", keep_default_na=False, na_values=[""], **exact)
    assert list(frame.columns) == whole.column_names
    for name in whole.column_names:
        values = [None if pandas.isna(v) else v for v in frame[name].tolist()]
        if not strings[name]:
            assert [v if v is None else float(v) for v in values] == [
                row[name] if row[name] is None else float(row[name]) for row in right
            ]
        else:
            assert values == [row[name] for row in right]
    assert sorted(p.name for p in folder.iterdir()) == ["a.csv", "a.duckdb", "a.json", "a.parquet"]


def test_export_replaces_its_own_table_and_keeps_the_others(run: Path, tmp_path: Path) -> None:
    to = tmp_path / "a.duckdb"
    for table in ("spectrum", "layers", "layers"):
        assert degen("export", run, "--table", table, "--to", to).code == 0
    with duckdb.connect(str(to)) as connection:
        assert {row[0] for row in connection.sql("SHOW TABLES").fetchall()} == {"layers", "spectrum"}
        count = connection.sql("SELECT count(*) FROM layers").fetchall()
    assert count == [(len(read_run(run).table("layers")),)]


def test_other_libraries_read_whole_tables_of_a_run(run: Path) -> None:
    for table in TABLES:
        rows = len(read_run(run).table(table))
        schema = read_run(run).table(table).schema
        assert len(pq.read_table(run / table)) == rows
        assert len(polars.read_parquet(run / table / "**" / "*.parquet")) == rows
        count = duckdb.sql(f"SELECT count(*) FROM '{run / table}/**/*.parquet'").fetchall()
        assert count == [(rows,)]
        for part in (run / table).rglob("*.parquet"):
            assert pq.read_schema(part).equals(schema)
        for field in schema:
            assert field.metadata[b"definition"]
            assert b"unit" in field.metadata
        assert schema.names[:3] == ["model", "revision", "step"]
