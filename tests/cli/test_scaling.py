"""`degen scaling fit` as a user meets it: a table in, a law out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from faults.command import SMALL, degen, degen_imports
from made_points import cloud, curves, kaplan, profiles
from specs import axis_title, marks, panels
from tiny import make_corpus, make_series

from degen.figures.figure import Figure
from degen.laws.law import HOFFMANN
from degen.scaling.points import Points

FAST = ("--bootstrap", 20)


def write_points(folder: Path, points: Points) -> Path:
    file = folder / "points.csv"
    pc.write_csv(points.table, file)
    return file


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_points(tmp_path_factory.mktemp("points"), cloud(HOFFMANN, points=30))


FIXED = ("--fix", "B=410.7", "--fix", "beta=0.28", *FAST)  # what is fixed need not be searched for


def test_fit_of_hoffmann_has_parameters_frontier_and_predictions(table: Path) -> None:
    result = degen("scaling", "fit", table, *FIXED, "--predict", "N=70e9,D=1.4e12", "--predict", "C=1e21", "--json")
    assert result.code == 0
    document: dict[str, Any] = result.json()
    assert document["law"] == "hoffmann"
    assert set(document["parameters"]) == {"A", "B", "E", "alpha", "beta", "a", "b", "G"}
    assert document["parameters"]["B"] == {"value": 410.7, "low": 410.7, "high": 410.7}
    alpha = document["parameters"]["alpha"]
    assert alpha["low"] < alpha["value"] < alpha["high"]
    assert len(document["rows"]) == 30
    assert {"name", "parameters", "tokens", "loss", "fitted", "residual"} <= set(document["rows"][0])
    known, best = document["predictions"]
    assert known["tokens_per_parameter"] == pytest.approx(20)
    assert known["loss"] == pytest.approx(float(HOFFMANN.loss(70e9, 1.4e12)), abs=0.05)
    assert best["parameters"] * best["tokens"] * 6 == pytest.approx(1e21)
    assert document["frontier"][0]["flops"] == 1e18
    assert "20 bootstrap draws" in result.err


def test_table_of_a_scan_with_untrained_checkpoints_is_fitted(tmp_path: Path) -> None:
    points = curves(HOFFMANN, models=6, marks=12)
    rows = [f"m{n:.4g},{round(d / n * 100)},{d},{n},{loss}" for n, d, loss in
            zip(points.parameters, points.tokens, points.loss, strict=True)]  # fmt: skip
    rows += [f"m{n:.4g},0,0,{n},10.8" for n in sorted(set(points.parameters))]
    file = tmp_path / "scan.csv"
    file.write_text("\n".join(["model,step,tokens_seen,parameters,loss", *rows]) + "\n")
    for command in (("fit", "--law", "envelope", *FAST), ("pareto",), ("slopes",)):
        result = degen("scaling", *command, file)
        assert result.code == 0, result.err
        assert "left out: 6 rows of models before training (0 tokens or steps)" in result.err


def test_fit_prints_the_law_and_the_kind_of_intervals(table: Path) -> None:
    result = degen("scaling", "fit", table, *FIXED)
    assert result.code == 0
    assert result.out.startswith("L = E + A/N^alpha + B/D^beta, fitted to 30 points")
    assert "tokens_per_parameter" in result.out
    assert "90 % intervals, from the bootstrap" in result.out
    assert "No intervals: no bootstrap was asked for." in degen("scaling", "fit", table, *FIXED, "--bootstrap", 0).out


def test_columns_option_maps_other_names(tmp_path: Path) -> None:
    points = cloud(HOFFMANN, points=30)
    file = tmp_path / "t.parquet"
    pq.write_table(points.table.rename_columns(["size", "data", "nats"]), file)
    result = degen("scaling", "fit", file, *FIXED, "--columns", "params=size,D=data,loss=nats", "--json")
    assert result.code == 0
    missing = degen("scaling", "fit", file, *FIXED)
    assert missing.code == 2
    assert "no column of parameters" in missing.message


@pytest.mark.parametrize(
    ("law", "points", "names", "expected"),  # of each panel: what is on the x axis, and how many layers
    [
        (
            ("isoflop",),
            profiles(HOFFMANN),
            {"a", "b", "k_N", "k_D"},
            [("parameters", 3), ("training FLOPs", 3)],
        ),
        (
            ("envelope",),
            curves(HOFFMANN, noise=0.002, models=8, marks=30),
            {"a", "b", "k_N", "k_D"},
            [("training FLOPs", 3), ("training FLOPs", 3)],
        ),
        (
            ("kaplan", "--form", "ND"),
            kaplan("ND"),
            {"alpha_N", "alpha_D", "N_c", "D_c"},
            [("N (parameters, non-embedding)", 2)],
        ),
        (
            ("kaplan", "--form", "C", "--units", "pf-days"),
            kaplan("C"),
            {"alpha_C", "C_c"},
            [("C (training PF-days)", 2)],
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_fits_of_other_laws_have_parameters_rows_and_a_plot(
    law: tuple[str, ...],
    points: Points,
    names: set[str],
    expected: list[tuple[str, int]],
    tmp_path: Path,
    figures: list[Figure],
) -> None:
    figure, to = tmp_path / "f.png", tmp_path / "rows.parquet"
    more = ("--plot", figure, "--out", to, "--json")
    result = degen("scaling", "fit", write_points(tmp_path, points), "--law", *law, *FAST, *more)
    assert result.code == 0
    document = result.json()
    assert set(document["parameters"]) == names
    assert all(p["low"] <= p["value"] <= p["high"] for p in document["parameters"].values())
    assert figure.read_bytes().startswith(b"\x89PNG")
    (drawn,) = figures
    assert [(axis_title(panel, "x"), len(panel["layer"])) for panel in panels(drawn)] == expected
    assert [axis_title(panel, "y") for panel in panels(drawn)] == ["loss (nats/token)", "parameters"][: len(expected)]
    measured = drawn.tables["best sizes" if len(expected) > 1 else "losses"]  # what the law was fitted to
    assert len(measured) == len(document["rows"])
    assert pl.read_parquet(to).height == len(document["rows"])


def test_plot_of_hoffmann_shows_points_law_and_best_sizes(table: Path, tmp_path: Path, figures: list[Figure]) -> None:
    figure, to = tmp_path / "f.svg", tmp_path / "rows.json"
    assert degen("scaling", "fit", table, *FIXED, "--plot", figure, "--out", to).code == 0
    assert figure.read_text(encoding="utf-8").startswith("<svg")
    losses, sizes = panels(figures[0])
    assert (axis_title(losses, "x"), axis_title(losses, "y")) == ("training FLOPs", "loss (nats/token)")
    assert (axis_title(sizes, "x"), axis_title(sizes, "y")) == ("training FLOPs", "parameters")
    assert losses["layer"][0]["encoding"]["color"]["field"] == "parameters"
    assert len(figures[0].tables["losses"]) == 30
    assert marks(losses)[-1] == ("frontier", "line")
    assert marks(sizes) == [("optimum", "area"), ("optimum", "line")]  # the interval, and the best size
    assert len(json.loads(to.read_text())) == 30


def test_run_of_several_models_is_fitted_and_compared(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus.jsonl", 8)
    series = []
    for i, width in enumerate((16, 32, 48, 64)):
        folder = tmp_path / f"w{width}"
        make_series(folder, steps=(10 * (i + 1), 100), hidden_size=width)
        series.append(folder)
    out = tmp_path / "run"
    assert degen("scan", *series, "--corpus", corpus, "-o", out, "--tokens-per-step", 1000, *SMALL).code == 0
    rows = pl.read_parquet(out / "checkpoints" / "**" / "*.parquet")
    assert (rows["training_flops"] == rows["flops_per_token"] * rows["tokens_seen"]).all()
    assert (rows["flops_per_token"] > 6 * rows["parameters_non_embedding"]).all()
    fixed = [word for text in ("A=1", "B=1", "alpha=0.3", "beta=0.3") for word in ("--fix", text)]
    result = degen("scaling", "fit", out, *fixed, "--bootstrap", 20, "--json")  # models that learnt nothing: E is left
    assert result.code == 0
    points = result.json()["rows"]
    assert len(points) == 8
    assert [row["flops"] for row in points] == rows.sort("model", "step")["training_flops"].to_list()
    assert "use --final to fit only the last row of each model" in result.err
    lines = degen("scaling", "slopes", out, "--final", "--json").json()["rows"]
    assert {row["points"] for row in lines if row["pair"] == "flops-upstream"} == {4}
    assert all(row["slope"] is not None for row in lines if row["pair"] == "parameters-upstream")
    frontier = degen("scaling", "pareto", out, "--final", "--json").json()["rows"]
    assert [row["point"] for row in frontier] == [f"w{width}" for width in (16, 32, 48, 64)]
    assert "each row counts as a model" in degen("scaling", "pareto", out).err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--law", "chinchilla"], "--law chinchilla: not one of hoffmann, envelope, isoflop, kaplan"),
        (["--fix", "B"], "--fix B: must be a name and a value"),
        (["--fix", "gamma=1"], "the law has no parameter 'gamma'"),
        (["--law", "kaplan", "--fix", "A=1"], "--fix can only be used with --law hoffmann"),
        (["--form", "ND"], "--form ND can only be used with --law kaplan"),
        (["--law", "kaplan", "--form", "X"], "--form X: must be one of N, D, C, ND, NS"),
        (["--law", "kaplan", "--units", "days"], "--units days: must be one of flops, pf-days"),
        (["--predict", "S=3"], "--predict S=3: hoffmann can only predict from"),
        (["--predict", "N=-3,D=1"], "N must be positive"),
        (["--law", "isoflop", "--predict", "N=1e9,D=1e9"], "isoflop can only predict from C=…; N=…; D=…"),
        (["--columns", "params=width"], "no column 'width'"),
        (["--without-highest", 30], "--without-highest 30"),
        (["--final"], "--final needs a column of models"),
        (["--confidence", 2], "--confidence 2: must lie between 0 and 1"),
        (["--bootstrap", 3], "--bootstrap 3: too few draws for confidence 0.9"),
        (["--out", "law.xlsx"], "law.xlsx: ends in none of .parquet, .csv, .json, .duckdb"),
        (["--plot", "law.xyz"], "not a format of figures"),
    ],
)
def test_wrong_options_of_fit_are_errors_of_one_line(options: list[object], message: str, table: Path) -> None:
    result = degen("scaling", "fit", table, *options)
    assert result.code == 2
    assert result.out == ""
    assert message in result.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("params,tokens,loss\n" + "1e8,1e9,3\n" * 9, "1 point is too few"),
        ("params,tokens,loss\n1e8,1e9,-3\n1e9,1e9,-2\n", "row 1 has loss -3, which must be positive"),
        ("params,loss\n1e8,3\n1e9,2\n", "no column of tokens"),
        ("params,tokens,loss\n1e8,1e9,3\n1e9,1e9,2.9\n1e9,1e10,2.8\n", "3 points are too few"),
    ],
)
def test_table_that_cannot_be_fitted_is_an_error_of_one_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(text)
    result = degen("scaling", "fit", file)
    assert (result.code, result.out) == (2, "")
    assert message in result.message


def test_scaling_without_a_known_command_is_an_error() -> None:
    assert "Missing command" in degen("scaling").message
    assert "No such command" in degen("scaling", "fut").message
    assert "slopes" in degen("scaling", "--help").out


def test_fit_imports_no_torch(table: Path) -> None:
    result = degen_imports("scaling", "fit", table, "--bootstrap", 0, "--fix", "B=410.7", "--fix", "beta=0.28")
    assert (result.code, result.err.splitlines()[-1]) == (0, "imported:")
