from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from tiny import make_checkpoint

import degen
from degen import DegenError
from degen.metrics.curve import Curve
from degen.runs.export import export_table
from degen.saturation import Larger, SaturationResult, find_saturation, write_result
from degen.saturation.result import COLUMNS
from degen.saturation.verdict import judge
from degen.tables import schema_of

SCAN: dict[str, Any] = {"tokens": 256, "context": 32, "threads": 1}
STEPS = (100, 300, 500, 700, 900, 1000)
EXCESS = [c.name for c in COLUMNS if c.name.startswith(("expected_", "excess_"))]
METRICS = ["loss", "anisotropy", "singular_entropy"]


@pytest.fixture(scope="module")
def longer(series: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return seven checkpoints; not to be written to."""
    folder = Path(shutil.copytree(series, tmp_path_factory.mktemp("result") / "tiny"))
    for step in (300, 500, 700, 900):
        make_checkpoint(folder / f"step{step}", seed=step)
    return folder


@pytest.fixture(scope="module")
def run(longer: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> degen.Run:
    """Return a run of them; not to be written to."""
    return degen.scan(longer, corpus=corpus, out=tmp_path_factory.mktemp("answers") / "run", **SCAN)


@pytest.fixture
def copy(run: degen.Run, tmp_path: Path) -> degen.Run:
    """Return the same run, to be written to."""
    return degen.read_run(shutil.copytree(run.path, tmp_path / "run"))


def curve(model: str, size: int, rise: float = 0.0) -> Curve:
    """Return a loss by the law of Hoffmann et al. at 2^21 tokens a step, with a rise over its second half."""
    steps = np.arange(1, 15) * 10_000
    law = 406.4 / size**0.34 + 410.7 / (steps * 2.0**21) ** 0.28 + 1.69
    values = law + rise * np.clip((steps - 70_000) / 70_000, 0, None)
    return Curve(model, "loss", steps, values, "min", 0.01, parameters=size, tokens=steps * 2.0**21)


# On a run


def test_a_run_has_a_row_for_each_of_its_three_metrics(run: degen.Run) -> None:
    result = find_saturation(run.path)
    rows, checkpoints = result.rows(), run.checkpoints()
    assert [(row["model"], row["metric"]) for row in rows] == [("tiny", metric) for metric in METRICS]
    late = [row for row in checkpoints if row["step"] >= 50]
    for row, verdict in zip(rows, result.verdicts, strict=True):
        values = [checkpoint[row["metric"]] for checkpoint in late]
        best = int(np.argmin(values))
        assert (row["best_value"], row["best_step"]) == (values[best], late[best]["step"])
        assert (row["final_value"], row["final_step"]) == (values[-1], 1000)
        assert row["gap"] == pytest.approx(values[-1] - values[best])
        assert (row["verdict"], row["reason"]) == (verdict.verdict, verdict.reason)
        assert row["verdict"] in ("saturated", "recovered", "not_saturated", "undecided")
        assert row["checkpoints"] == len(STEPS)
        assert row["floor"] == verdict.curve.floor > 0
        assert 0 < row["p_value"] <= 1
        assert row["noise"] > 0
        assert (row["onset_step"] is None) == (row["verdict"] in ("not_saturated", "undecided"))


def test_a_run_of_one_model_has_no_law_to_compare_with(run: degen.Run) -> None:
    result = find_saturation(run.path)
    assert result.extrapolation is None
    assert all(row[name] is None for row in result.rows() for name in EXCESS)


def test_the_table_has_the_columns_in_order_with_unit_and_definition(run: degen.Run) -> None:
    table = find_saturation(run.path).table()
    assert table.schema.equals(schema_of(COLUMNS), check_metadata=True)
    assert table.column_names == [c.name for c in COLUMNS]
    assert all(field.metadata[b"definition"] for field in table.schema)


def test_the_first_checkpoints_of_a_run_count_with_after_0(run: degen.Run) -> None:
    result = find_saturation(run.path, after=0.0)
    assert [v.checkpoints for v in result.verdicts] == [7] * 3


# Kept in the run


def test_a_result_is_written_as_a_table_of_the_run(copy: degen.Run) -> None:
    result = find_saturation(copy.path)
    write_result(result, copy)
    file = copy.path / "saturation" / "tiny.parquet"
    assert [p for p in copy.path.rglob("*") if "saturation" in p.parts[-2:] and p.is_file()] == [file]
    stored = pq.read_schema(file)
    assert stored.names == [c.name for c in COLUMNS]
    for column, field in zip(COLUMNS, stored, strict=True):
        assert field.type == pa.type_for_alias(column.type)
        assert field.metadata[b"unit"].decode() == column.unit
        assert field.metadata[b"definition"].decode() == column.definition
    assert stored.metadata[b"degen.schema_version"] == b"6"
    assert stored.metadata[b"degen.version"].decode() == degen.__version__
    assert stored.metadata[b"degen.config_hash"].decode() == copy.info["config_hash"]
    again = degen.read_run(copy.path)
    assert "saturation" in again.tables
    assert again.table("saturation").to_pylist() == result.rows()


def test_a_result_written_to_the_run_does_not_change_the_next_one(copy: degen.Run) -> None:
    first = find_saturation(copy.path)
    write_result(first, copy)
    assert find_saturation(copy.path).rows() == first.rows()
    write_result(first, copy)
    assert degen.read_run(copy.path).table("saturation").to_pylist() == first.rows()


def test_other_tools_read_the_saturation_table(copy: degen.Run, tmp_path: Path) -> None:
    result = find_saturation(copy.path)
    write_result(result, copy)
    rows, again = result.rows(), degen.read_run(copy.path)
    for ending in (".parquet", ".csv", ".json", ".duckdb"):
        assert export_table(again, "saturation", tmp_path / f"s{ending}") == 3
    assert pq.read_table(tmp_path / "s.parquet").to_pylist() == rows
    assert json.loads((tmp_path / "s.json").read_text()) == rows
    assert pyarrow.csv.read_csv(tmp_path / "s.csv")["best_step"].to_pylist() == [row["best_step"] for row in rows]
    with duckdb.connect(str(tmp_path / "s.duckdb")) as connection:
        assert connection.sql("select * from saturation").fetchall() == [tuple(row.values()) for row in rows]
    parts = f"{copy.path}/saturation/*.parquet"
    assert duckdb.sql(f"select * from '{parts}'").fetchall() == [tuple(row.values()) for row in rows]
    assert pl.read_parquet(parts).to_dicts() == rows


def test_a_scan_of_more_checkpoints_removes_older_verdicts(longer: Path, corpus: Path, tmp_path: Path) -> None:
    folders = {"one": tmp_path / "one", "two": tmp_path / "two"}
    for name, folder in folders.items():
        shutil.copytree(longer, folder)
        if name == "one":
            shutil.rmtree(folder / "step900")
    series = [f"{name}={folder}" for name, folder in folders.items()]
    run = degen.scan(series, corpus=corpus, out=tmp_path / "run", **SCAN)
    write_result(find_saturation(run.path), run)
    files = {name: run.path / "saturation" / f"{name}.parquet" for name in folders}
    assert all(file.is_file() for file in files.values())
    degen.scan(series, corpus=corpus, out=tmp_path / "run", **SCAN)
    assert all(file.is_file() for file in files.values())  # nothing new
    shutil.copytree(longer / "step900", folders["one"] / "step900")
    again = degen.scan(series, corpus=corpus, out=tmp_path / "run", **SCAN)
    assert not files["one"].exists()
    assert files["two"].is_file()
    assert set(again.table("saturation")["model"].to_pylist()) == {"two"}


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "..", ".hidden", "a/b", "_x", "lr=3", "ü 日", "m" * 300])
def test_a_model_name_never_leads_out_of_the_folder_of_results(name: str, copy: degen.Run) -> None:
    before = set(copy.path.parent.rglob("*"))
    result = SaturationResult([judge(curve(name, 10**8))], None)
    write_result(result, copy)
    (file,) = (p for p in set(copy.path.parent.rglob("*")) - before if p.is_file())
    assert file.parent == copy.path / "saturation"
    assert degen.read_run(copy.path).table("saturation")["model"].to_pylist() == [name]
    assert duckdb.sql(f"select model from '{copy.path}/saturation/*.parquet'").fetchall() == [(name,)]


def test_a_result_that_cannot_be_written_is_an_error(copy: degen.Run) -> None:
    (copy.path / "saturation").write_text("in the way")
    with pytest.raises(DegenError, match="cannot be written"):
        write_result(find_saturation(copy.path), copy)


# The law of the larger models


def suite(tmp_path: Path) -> Path:
    """Scan two small models whose loss rises, four larger ones that follow the law."""
    lines = ["model,step,parameters,tokens,loss,anisotropy"]
    sizes = {"s": (10**7, 0.3), "m": (5 * 10**7, 0.2)} | {f"l{i}": (10**9 * (i + 1), 0.0) for i in range(4)}
    for model, (size, rise) in sizes.items():
        c = curve(model, size, rise)
        lines += [
            f"{model},{step},{size},{tokens:.0f},{value!r},0.{50 - i}"
            for i, (step, tokens, value) in enumerate(zip(c.steps, c.tokens, c.values.tolist(), strict=True))
        ]
    file = tmp_path / "suite.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_losses_alone_are_compared_with_the_law(tmp_path: Path) -> None:
    result = find_saturation(suite(tmp_path))
    rows = {(row["model"], row["metric"]): row for row in result.rows()}
    assert rows["s", "loss"]["verdict"] == rows["m", "loss"]["verdict"] == "saturated"
    for row in result.extrapolation.rows:
        of_loss = rows[row.model, "loss"]
        assert of_loss["expected_final"] == row.predicted_final
        assert of_loss["excess_final"] == pytest.approx(of_loss["final_value"] / of_loss["expected_final"] - 1)
        assert of_loss["excess_best"] == pytest.approx(of_loss["best_value"] / of_loss["expected_best"] - 1)
        assert (of_loss["excess_final_low"] is None) == (row.role == "fitted")
        assert all(rows[row.model, "anisotropy"][name] is None for name in EXCESS)
    assert 0 < rows["s", "loss"]["excess_final_low"] < rows["s", "loss"]["excess_final"]


def test_without_enough_larger_models_the_columns_are_null(tmp_path: Path) -> None:
    result = find_saturation(suite(tmp_path), where={"model": "s"})
    assert result.extrapolation is None
    assert all(row[name] is None for row in result.rows() for name in EXCESS)
    assert result.table()["excess_final"].null_count == len(result.rows())


def test_the_larger_models_of_the_law_may_be_named(tmp_path: Path) -> None:
    result = find_saturation(suite(tmp_path), larger=Larger(models=["l1", "l2", "l3"]))
    assert [row.model for row in result.extrapolation.rows if row.role == "fitted"] == ["l1", "l2", "l3"]
    with pytest.raises(DegenError, match="no model 'xl'"):
        find_saturation(suite(tmp_path), larger=Larger(models=["xl"]))


def test_a_model_that_cannot_be_compared_with_the_law_gives_a_warning(tmp_path: Path) -> None:
    file = suite(tmp_path)
    lines = file.read_text().splitlines()
    file.write_text("\n".join(_without(line) if line.startswith("s,") else line for line in lines))
    warnings: list[str] = []
    result = find_saturation(file, larger=Larger(models=["l1", "l2", "l3"]), warn=warnings.append)
    assert warnings == ["s: not compared with the larger models; its number of parameters is unknown"]
    assert next(row for row in result.rows() if row["model"] == "s")["excess_final"] is None


def _without(line: str) -> str:
    """Return a line of the table without the number of parameters."""
    model, step, _, *others = line.split(",")
    return ",".join([model, step, "", *others])


@pytest.mark.parametrize(
    "options", [{"level": 0.0}, {"level": 1.5}, {"confidence": 90}, {"after": 1.0}, {"after": -0.1}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DegenError, match=next(iter(options))):
        find_saturation(suite(tmp_path), **options)


def test_the_row_of_a_curve_without_values_is_null() -> None:
    curve = Curve("m", "loss", np.arange(4), np.full(4, math.nan), "min")
    (row,) = SaturationResult([judge(curve)], None).rows()
    assert (row["verdict"], row["checkpoints"]) == ("undecided", 0)
    nothing = ("best_step", "best_value", "final_value", "gap", "p_value", "onset_step", "noise", "co_occurrence")
    assert {row[name] for name in nothing} == {None}
