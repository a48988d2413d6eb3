"""`degen saturation` as a user meets it: tables in, verdicts out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from faults.command import SMALL, degen, degen_imports

from degen.published import published_table

STEPS = np.arange(1, 26) * 1000


def table(file: Path, values: Sequence[object], steps: Sequence[object] = tuple(STEPS), name: str = "loss") -> Path:
    rows = [f"a,{step},{value}" for step, value in zip(steps, values, strict=True)]
    file.write_text("\n".join([f"model,step,{name}", *rows]) + "\n")
    return file


def collapsed(seed: int = 0) -> list[float]:
    rise = np.clip((STEPS - 16000) / 9000, 0, None)
    return list(3 + 0.1 * rise + np.random.default_rng(seed).normal(0, 0.005, 25))


def test_collapsed_loss_is_saturated_with_its_onset(tmp_path: Path) -> None:
    result = degen("saturation", table(tmp_path / "losses.csv", collapsed()), "--json")
    assert result.code == 0
    assert result.err == ""
    (row,) = result.json()["rows"]
    assert (row["model"], row["metric"], row["verdict"]) == ("a", "loss", "saturated")
    assert row["onset_low"] <= 16000 <= row["onset_high"]
    assert row["gap"] == pytest.approx(row["final_value"] - row["best_value"])
    assert row["floor"] == pytest.approx(0.005 * row["best_value"])


def test_saturation_prints_a_sparkline_and_the_reason(tmp_path: Path) -> None:
    result = degen("saturation", table(tmp_path / "losses.csv", collapsed()))
    assert result.code == 0
    (line,) = [row for row in result.out.splitlines() if " saturated " in row]
    assert "█" in line
    assert "above its best" in line


def test_co_occurrence_is_printed_for_two_metrics_and_not_for_one(tmp_path: Path) -> None:
    assert "lies" not in degen("saturation", table(tmp_path / "one.csv", collapsed())).out
    rows = [f"a,{s},{x},{y}" for s, x, y in zip(STEPS, collapsed(1), collapsed(2), strict=True)]
    both = tmp_path / "both.csv"
    both.write_text("\n".join(["model,step,loss,val_loss", *rows]) + "\n")
    result = degen("saturation", both)
    assert "with val_loss" in result.out
    assert "no cause" in result.out


@pytest.mark.parametrize(
    ("values", "steps", "reason"),
    [
        ([3.0], [0], "1 checkpoint with a value; 3 are needed"),
        ([3.0, 4.0], [0, 1], "2 checkpoints with a value"),
        (["nan"] * 5, range(5), "no checkpoint has a value"),
        ([3.0] * 9, range(9), "all 9 values are 3"),
        ([3.0, 2.9, 2.8, 2.7, 2.6], [0, 2, 1, 3, 4], "step 1 stands behind 2"),
        ([3.0, 2.9, 2.8, 2.7, 2.6], [0, 1, 1, 3, 4], "step 1 stands twice"),
        ([3.0, 2.9, 2.8, 2.7, "nan"], range(5), "the last checkpoint, step 4, has no value"),
    ],
)
def test_curves_without_information_are_undecided(
    values: list[object], steps: Sequence[object], reason: str, tmp_path: Path
) -> None:
    result = degen("saturation", table(tmp_path / "t.csv", values, list(steps)), "--json", "--after", 0)
    assert result.code == 0
    (row,) = result.json()["rows"]
    assert row["verdict"] == "undecided"
    assert reason in row["reason"]


def test_unsorted_rows_need_the_sort_option(tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(25)
    file = table(tmp_path / "t.csv", [collapsed()[i] for i in order], [int(STEPS[i]) for i in order])
    assert degen("saturation", file, "--json").json()["rows"][0]["verdict"] == "undecided"
    ordered = degen("saturation", table(tmp_path / "u.csv", collapsed()), "--json").json()["rows"]
    assert degen("saturation", file, "--sort", "--json").json()["rows"] == ordered


def test_direction_follows_the_metrics_name_or_the_better_option(tmp_path: Path) -> None:
    falling = [-x for x in collapsed()]
    assert degen("saturation", table(tmp_path / "t.csv", falling, name="acc"), "--json").json()["rows"][0][
        "verdict"
    ] == ("saturated")  # fmt: skip
    file = table(tmp_path / "u.csv", falling, name="score")
    result = degen("saturation", file, "--json")
    assert "=max if higher is" in result.err
    assert result.json()["rows"][0]["verdict"] == "not_saturated"
    result = degen("saturation", file, "--better", "max", "--json")
    assert (result.err, result.json()["rows"][0]["verdict"]) == ("", "saturated")


def test_floor_option_sets_the_least_rise_that_counts(tmp_path: Path) -> None:
    file = table(tmp_path / "t.csv", collapsed())
    result = degen("saturation", file, "--floor", "0.5", "--json").json()["rows"][0]
    assert (result["verdict"], result["floor"], result["onset_step"]) == ("not_saturated", 0.5, None)
    assert degen("saturation", file, "--floor", "loss=10%", "--json").json()["rows"][0]["verdict"] == "not_saturated"


@pytest.mark.parametrize("ending", ["parquet", "csv", "json", "duckdb"])
def test_verdicts_are_written_to_a_file(ending: str, tmp_path: Path) -> None:
    to = tmp_path / f"verdicts.{ending}"
    result = degen("saturation", table(tmp_path / "t.csv", collapsed()), "--to", to)
    assert result.code == 0
    if ending == "parquet":
        assert pq.read_table(to)["verdict"].to_pylist() == ["saturated"]
    elif ending == "json":
        assert [row["verdict"] for row in json.loads(to.read_text())] == ["saturated"]
    elif ending == "csv":
        assert pl.read_csv(to)["verdict"].to_list() == ["saturated"]
    else:
        import duckdb

        with duckdb.connect(str(to)) as connection:
            assert connection.execute("SELECT verdict FROM saturation").fetchall() == [("saturated",)]


def test_saturation_does_not_overwrite_its_table(tmp_path: Path) -> None:
    file = table(tmp_path / "t.csv", collapsed())
    before = file.read_text()
    result = degen("saturation", file, "--to", tmp_path / "." / "t.csv")
    assert (result.code, result.out, file.read_text()) == (2, "", before)
    assert "is the table itself" in result.message


def test_verdicts_of_a_run_are_stored_in_it(series: Path, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert degen("scan", series, "--corpus", corpus, "-o", out, *SMALL).code == 0
    result = degen("saturation", out, "--json")
    assert result.code == 0
    assert [row["metric"] for row in result.json()["rows"]] == ["loss", "anisotropy", "singular_entropy"]
    stored = pl.read_parquet(out / "saturation" / "*.parquet")
    assert stored["verdict"].to_list() == [row["verdict"] for row in result.json()["rows"]]
    assert degen("export", out, "--table", "saturation", "--to", tmp_path / "s.csv").code == 0
    assert degen("show", out).code == 0


def test_loss_law_is_printed_and_in_the_json(tmp_path: Path) -> None:
    file = published_table("pythia_pile_loss")
    result = degen("saturation", file, "--json").json()
    assert result["parameters"]["A"]["value"] == pytest.approx(118.66, abs=0.005)
    assert result["parameters"]["A"]["low"] < 119.09 < result["parameters"]["A"]["high"]
    assert result["extrapolation"]["mean_final_gap"] == pytest.approx(0.084, abs=0.0005)
    named = degen("saturation", file, "--larger", "pythia-1b,pythia-2.8b,pythia-12b", "--json").json()
    roles = {row["model"]: row["role"] for row in named["extrapolation"]["models"]}
    assert [model for model, role in roles.items() if role == "fitted"] == ["pythia-1b", "pythia-2.8b", "pythia-12b"]
    printed = degen("saturation", file).out
    assert "alpha = 0.24632" in printed
    assert "end 8.4 % above it on average" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "los"], "no metric 'los'; did you mean 'loss'?"),
        (["--where", "task"], "--where task: must be a name and a value, as in task=lambada_openai"),
        (["--where", "tsk=a"], "no column 'tsk' to filter by"),
        (["--better", "up"], "--better up: not one of min, max"),
        (["--floor", "much"], "--floor much: must be a number"),
        (["--level", 2], "--level 2: must lie between 0 and 1"),
        (["--confidence", 0], "--confidence 0: must lie between 0 and 1"),
        (["--after", 1], "--after 1: a share of training"),
        (["--objective", "l1"], "--objective l1: not one of log, linear, huber"),
        (["--fix", "B=x"], "--fix B=x: 'x' is no number"),
        (["--fix", "B"], "--fix B: must be a name and a value"),
        (["--larger", "a,,b"], "--larger a,,b: a name is empty"),
        (["--larger", "b"], "no model 'b'"),
        (["--to", "verdicts.xlsx"], "verdicts.xlsx: ends in none of .parquet, .csv, .json, .duckdb"),
    ],
)
def test_wrong_options_of_saturation_are_errors_of_one_line(
    options: list[object], message: str, tmp_path: Path
) -> None:
    result = degen("saturation", table(tmp_path / "t.csv", collapsed()), *options)
    assert result.code == 2
    assert result.out == ""
    assert message in result.message


def test_saturation_imports_no_torch(tmp_path: Path) -> None:
    result = degen_imports("saturation", table(tmp_path / "t.csv", collapsed()))
    assert result.code == 0
    source, imported = result.err.splitlines()
    assert source.endswith("t.csv: table, 25 rows, model from model, step from step, metrics loss, no standard errors")
    assert imported == "imported:"
