"""`degen scaling slopes` and `degen scaling pareto` as a user meets them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faults.command import CommandResult, degen
from specs import axis_title, marks, panels, scale_type

from degen.figures.figure import Figure

N = np.logspace(7, 9.5, 6)
PUBLISHED = ["wide,3.6e9,-1.46,85.1,76.5,88.1", "deep,3.8e9,-1.49,86.9,79.9,89.5"]
TASKS = ("--downstream", "glue", "--downstream", "superglue", "--downstream", "squad")


def slopes(*args: object) -> CommandResult:
    return degen("scaling", "slopes", *args)


def pareto(*args: object) -> CommandResult:
    return degen("scaling", "pareto", *args)


def table(file: Path, head: str, rows: Iterable[str]) -> Path:
    file.write_text("\n".join([head, *rows]) + "\n")
    return file


def two_architectures(file: Path, head: str = "architecture,params,tokens,loss,accuracy") -> Path:
    """Planted: slopes of −0.3 and −0.2 per decade of N, and a crossing at N = 1e8, 1.2e18 FLOPs."""
    rows = []
    for name, slope in (("transformer", -0.3), ("mixer", -0.2)):
        for i, n in enumerate(N):
            x = np.log10(n) - 8
            wiggle = 0.002 * (-1) ** (i // 2)
            rows.append(f"{name},{n:.8g},{20 * n:.8g},{3 + slope * x + wiggle:.6g},{0.5 - slope * x / 3 + wiggle:.6g}")
    return table(file, head, rows)


def published(file: Path) -> Path:
    return table(file, "model,params,upstream,glue,superglue,squad", PUBLISHED)


def rows_of(result: CommandResult, name: str = "rows", **keys: object) -> list[dict[str, Any]]:
    assert result.code == 0, result.err
    return [row for row in result.json()[name] if all(row[key] == value for key, value in keys.items())]


def test_quantity_is_read_from_the_named_column(tmp_path: Path) -> None:
    head, rows = "model,family,parameters,flops,N,C,loss,accuracy", []
    for i, n in enumerate(N):
        rows.append(f"m{i},a,{i + 1},{9 - i},{n:.8g},{120 * n * n:.8g},{3 * n**-0.05:.8g},{0.1 * i:.2g}")
    file, columns = table(tmp_path / "t.csv", head, rows), ("--columns", "params=N,flops=C")
    for pair, slope in (("parameters-upstream", -0.05), ("flops-upstream", -0.025)):
        (row,) = rows_of(slopes(file, *columns, "--json"), pair=pair, axes="log-log")
        assert row["slope"] == pytest.approx(slope)
    points = rows_of(pareto(file, *columns, "--json"))
    assert [row["parameters"] for row in points] == pytest.approx(N)
    assert [row["flops"] for row in points] == pytest.approx(120 * N**2)
    assert rows_of(pareto(file, *columns, "--cost", "N", "--json"))[0]["N"] == 1e7


def test_slopes_of_one_architecture_have_no_order(tmp_path: Path) -> None:
    rows = [f"a,{n:.8g},{20 * n:.8g},{3 - i / 10 + 0.003 * (-1) ** i}" for i, n in enumerate(N)]
    result = slopes(table(tmp_path / "t.csv", "architecture,params,tokens,loss", rows))
    assert "there is no order of two" in result.out
    assert "changes nowhere" not in result.out


def test_slopes_recovers_planted_slopes(tmp_path: Path) -> None:
    result = slopes(two_architectures(tmp_path / "t.csv"), "--json")
    assert "warning" not in result.err
    for name, slope in (("transformer", -0.3), ("mixer", -0.2)):
        (row,) = rows_of(result, architecture=name, pair="parameters-upstream", axes="semi-log")
        assert row["slope_low"] < slope < row["slope_high"]
        assert (row["x_axis"], row["y_axis"], row["points"]) == ("log10 parameters", "loss", 6)
        (row,) = rows_of(result, architecture=name, pair="flops-downstream", axes="semi-log")
        assert row["slope"] == pytest.approx(-slope / 6, rel=0.03)
    assert {row["pair"] for row in result.json()["rows"]} == {
        "flops-upstream", "flops-downstream", "parameters-upstream", "parameters-downstream", "upstream-downstream",
    }  # fmt: skip


def test_slopes_finds_the_planted_crossing(tmp_path: Path) -> None:
    result = slopes(two_architectures(tmp_path / "t.csv"), "--json")
    (crossing,) = rows_of(result, "crossings", quality="loss")
    assert (crossing["best_below"], crossing["best_above"], crossing["sure"]) == ("mixer", "transformer", True)
    assert crossing["flops_low"] < 1.2e18 < crossing["flops_high"]
    best = {row["region"]: row["architecture"] for row in rows_of(result, "ranking", quality="loss", rank=1)}
    assert best == {1: "mixer", 2: "mixer", 3: "transformer", 4: "transformer"}
    edges = slopes(two_architectures(tmp_path / "t.csv"), "--json", "--regions", "1e16,1e18,1e21")
    assert [row["flops_low"] for row in rows_of(edges, "ranking", quality="loss", rank=1)] == [1e16, 1e18]


def test_slopes_reads_named_columns_from_csv_and_parquet(tmp_path: Path) -> None:
    plain = slopes(two_architectures(tmp_path / "t.csv"), "--json").json()
    file = two_architectures(tmp_path / "u.csv", "kind,size,seen,nats,score")
    names = ("--columns", "params=size,tokens=seen,loss=nats", "--architecture", "kind", "--downstream", "score")
    result = slopes(file, *names, "--better", "score=max", "--json")
    assert "warning" not in result.err
    assert [row["slope"] for row in result.json()["rows"]] == [row["slope"] for row in plain["rows"]]
    data = np.genfromtxt(file, delimiter=",", names=True, dtype=None, encoding="utf-8")
    pq.write_table(pa.table({name: data[name] for name in data.dtype.names or ()}), tmp_path / "u.parquet")
    again = slopes(tmp_path / "u.parquet", *names, "--better", "score=max", "--json").json()
    assert again["rows"] == result.json()["rows"]


def test_pareto_reports_the_published_reversal(tmp_path: Path) -> None:
    names = ("upstream", "glue", "superglue", "squad")
    directions = [part for name in names for part in ("--better", f"{name}=max")]
    result = pareto(published(tmp_path / "t.csv"), "--upstream", "upstream", *TASKS, *directions, "--json")
    assert "warning" not in result.err
    reversals = rows_of(result, "reversals")
    assert [row["downstream"] for row in reversals] == ["glue", "superglue", "squad"]
    assert {(row["better_upstream"], row["better_downstream"], row["on_all"]) for row in reversals} == {
        ("wide", "deep", True)
    }
    printed = pareto(published(tmp_path / "t.csv"), *TASKS, "--better", "upstream=max").out
    assert "Pairs that reverse" in printed
    assert "-1.46 against -1.49" in printed


def test_negated_loss_needs_a_name_or_direction_that_says_so(tmp_path: Path) -> None:
    file = table(tmp_path / "t.csv", "model,params,loss", ["a,1e8,-3.0", "b,2e8,-2.5", "c,3e8,-2.7"])
    refused = pareto(file, "--json")
    assert (refused.code, refused.out) == (2, "")
    assert "a has loss -3, but losses must be above 0; correct the row, or use --better loss=max" in refused.message
    for better, frontier in (("max", [True, True, False]), ("min", [True, False, False])):
        result = pareto(file, "--better", f"loss={better}", "--json")
        assert "warning" not in result.err
        assert [row["frontier"] for row in rows_of(result)] == frontier
    named = table(tmp_path / "u.csv", "model,params,negative_log_perplexity", ["a,1e8,-3.0", "b,2e8,-2.5"])
    assert "warning" not in pareto(named, "--json").err


def test_pareto_names_the_dominating_points(tmp_path: Path) -> None:
    rows = ["a,1e8,100,3.0", "b,2e8,90,2.5", "c,3e8,200,2.7", "d,4e8,,2.0"]
    file = table(tmp_path / "t.csv", "model,params,seconds,loss", rows)
    result = pareto(file, "--json")
    assert "left out of the frontier, because values are missing or infinite: 1" in result.err
    outcome = {row["point"]: (row["frontier"], row["dominated_by"]) for row in rows_of(result)}
    assert outcome == {"a": (True, None), "b": (True, None), "c": (False, "b"), "d": (None, None)}
    pairs = {(row["cost"], row["quality"]): row["frontier"] for row in rows_of(result, "frontiers")}
    assert pairs == {("parameters", "loss"): ["a", "b", "d"], ("seconds", "loss"): ["b"]}
    only = rows_of(pareto(file, "--cost", "params", "--quality", "loss", "--json"))
    assert [row["frontier"] for row in only] == [True, True, False, True]


@pytest.mark.parametrize(
    ("columns", "rivals"),
    [
        ("train_xent_loss,c4_val_loss", None),  # the other is of the training data
        ("train_xent_loss,c4_val_loss,pile_val_loss", "'pile_val_loss'"),
        ("train_loss,c4_val_loss,pile_val_loss", "'pile_val_loss'"),
    ],
)
def test_pareto_names_the_losses_that_are_as_good_as_the_one_it_reads(
    columns: str, rivals: str | None, tmp_path: Path
) -> None:
    rows = [f"m{i},{n:.0f},{20 * n:.0f}," + ",".join(f"{3 - i / 10 + k}" for k in range(3)) for i, n in enumerate(N)]
    head = ["model", "params", "tokens", *columns.split(",")]
    file = table(tmp_path / "t.csv", ",".join(head), [",".join(row.split(",")[: len(head)]) for row in rows])
    done = pareto(file)
    warnings = [line for line in done.err.splitlines() if "upstream is read from" in line]
    assert len(warnings) == (rivals is not None)
    if rivals is not None:
        assert f"upstream is read from 'c4_val_loss', and not from {rivals};" in warnings[0]


def test_pareto_compares_depth_and_width_or_gives_a_reason(tmp_path: Path) -> None:
    rows = []
    for i, cost in enumerate(np.logspace(18, 20, 5)):
        for layers, width in ((6, 1024), (12, 768), (32, 512)):
            loss = 3 - 0.2 * i + 0.03 * np.log2(width / layers) + 0.001 * (-1) ** (i + layers // 6)
            rows.append(f"m{i}-{layers},{cost:.6g},{loss:.6g},{layers},{width}")
    file = table(tmp_path / "t.csv", "model,flops,loss,layers,d_model", rows)
    (row,) = rows_of(pareto(file, "--json"), "shapes", cost="flops")
    assert row["verdict"] == "deeper is better"
    assert row["effect_low"] < -0.03 < row["effect_high"]
    (row,) = rows_of(pareto(two_architectures(tmp_path / "u.csv"), "--json"), "shapes", cost="flops", quality="loss")
    assert (row["verdict"], row["effect"]) == ("cannot tell", None)
    assert "no column layers" in row["reason"]


@pytest.mark.parametrize(
    ("head", "rows", "message"),
    [
        ("model_type,params,loss", [f"a,1e8,3.{i}" for i in range(5)], "one value of parameters"),
        ("model_type,params", ["a,1e8", "a,2e8"], "--upstream"),
        ("model_type,loss", ["a,3.0", "a,2.0", "a,2.5"], "no column of parameters"),
        (
            "model_type,params,loss",
            ["a,1e8,nan", "a,2e8,nan", "a,3e8,2"],
            "1 different point with both; a slope needs 4",
        ),
        (
            "model_type,params,loss",
            ["a,1e8,3", "b,2e8,2", "c,3e8,2"],
            "name the column of architectures with --architecture",
        ),
        ("model_type,params,loss", ["a,1e8,3", ",2e8,2"], "has no model_type"),
        ("model_type,params,loss", ["a,1e8,3", "a,2e8,2", "a,3e8,1"] * 4, "3 different points with both"),
        ("model_type,params,loss", [f"a,{n},{-3 + i}" for i, n in enumerate(N)], "losses must be above 0"),
    ],
)
def test_table_without_slopes_is_an_error_of_one_line(
    head: str, rows: Sequence[str], message: str, tmp_path: Path
) -> None:
    result = slopes(table(tmp_path / "t.csv", head, rows))
    assert (result.code, result.out) == (2, "")
    assert message in result.message


def test_missing_quantity_is_a_row_with_a_reason(tmp_path: Path) -> None:
    file = table(tmp_path / "t.csv", "model_type,params,loss", [f"a,{n},{4 - 0.1 * i}" for i, n in enumerate(N)])
    result = slopes(file, "--json")
    (row,) = rows_of(result, pair="flops-upstream", axes="semi-log")
    assert row["slope"] is None
    assert "no column of flops" in row["reason"]
    (row,) = rows_of(result, pair="upstream-downstream", axes="log-log")
    assert "--downstream" in row["reason"]
    assert "No ranking over compute" in slopes(file).out


def test_cost_that_is_not_positive_is_an_error(tmp_path: Path) -> None:
    result = pareto(table(tmp_path / "t.csv", "model,params,loss", ["a,1e8,3", "b,0,2"]))
    assert result.code == 2
    assert "b has parameters 0, which must be above 0" in result.message
    result = pareto(table(tmp_path / "u.csv", "model,seconds,loss", ["a,0,3", "b,-1,2"]))
    assert result.code == 2
    assert "b has seconds -1, which must be 0 or more" in result.message


def test_three_points_have_no_correlation_and_no_slope(tmp_path: Path) -> None:
    rows = ["a,1e8,3,0.1", "b,2e8,2,0.2", "c,3e8,1,0.3"]
    result = pareto(table(tmp_path / "t.csv", "model,params,loss,acc", rows), "--json")
    (row,) = rows_of(result, "correlations")
    assert (row["spearman"], row["kendall"]) == (None, None)
    assert "3 points" in row["reason"]
    few = slopes(table(tmp_path / "u.csv", "family,params,loss", ["x,1e8,3", "x,2e8,2", "x,3e8,1.5"]))
    assert (few.code, few.out) == (2, "")
    assert "no line can be fitted; x: 3 different points with both; a slope needs 4" in few.message


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("pareto", "--cost", "watts"), "no column 'watts'"),
        (("pareto", "--quality", "los"), "did you mean 'loss'?"),
        (("pareto", "--better", "loss=low"), "not one of min, max"),
        (("pareto", "--better", "width=min"), "is not one of the columns of quality"),
        (("pareto", "--equal-cost", "much"), "must be a share, as in 10%"),
        (("pareto", "--equal-cost", "nan"), "must be above 0"),
        (("pareto", "--plot", "x.doc"), "not a format of figures"),
        (("pareto", "--out", "x.xls"), "ends in none of"),
        (("slopes", "--regions", "many"), "must be a whole number, or edges"),
        (("slopes", "--regions", "0"), "must be at least 1"),
        (("slopes", "--columns", "params"), "must be a name and a value"),
        (("slopes", "--architecture", "kind"), "no column 'kind'"),
        (("slopes", "--confidence", "1"), "must lie between 0 and 1"),
    ],
)
def test_wrong_usage_of_comparisons_is_an_error_of_one_line(
    args: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    file = two_architectures(tmp_path / "t.csv")
    result = degen("scaling", args[0], file, *args[1:])
    assert result.code == 2
    assert message in result.message


@pytest.mark.parametrize("command", ["slopes", "pareto"])
def test_comparison_writes_rows_and_plot_to_files(command: str, tmp_path: Path, figures: list[Figure]) -> None:
    file, to, figure = two_architectures(tmp_path / "t.csv"), tmp_path / "rows.parquet", tmp_path / "figure.svg"
    result = degen("scaling", command, file, "--out", to, "--plot", figure, "--json")
    assert result.code == 0, result.err
    assert pq.read_table(to).num_rows == len(result.json()["rows"])
    assert set(pq.read_table(to).column_names) == set(result.json()["rows"][0])
    assert figure.read_text(encoding="utf-8").startswith("<svg")
    (drawn,) = figures
    titles = [panel["title"] for panel in panels(drawn)]
    assert all(axis_title(panel, "x") and axis_title(panel, "y") for panel in panels(drawn))
    if command == "slopes":
        rows = result.json()["rows"]
        assert titles == list(dict.fromkeys(f"{r['pair']}, {r['axes']}" for r in rows if r["slope"] is not None))
        for panel in panels(drawn):
            assert marks(panel) == [(f"lines of {panel['title']}", "line"), (f"points of {panel['title']}", "point")]
            assert scale_type(panel, "x") == ("linear" if panel["title"].endswith("linear") else "log")
            assert {row["architecture"] for row in drawn.tables[marks(panel)[0][0]]} == {"transformer", "mixer"}
        first = panels(drawn)[titles.index("flops-upstream, semi-log")]
        assert (axis_title(first, "x"), axis_title(first, "y")) == ("training FLOPs", "loss (nats/token)")
    else:
        frontiers = [panel for panel in panels(drawn) if panel["title"] == "frontier"]
        assert [(axis_title(panel, "x"), axis_title(panel, "y")) for panel in frontiers] == [
            (cost, quality)
            for cost in ("parameters", "training FLOPs")
            for quality in ("loss (nats/token), lower is better", "accuracy, higher is better")
        ]
        assert len(panels(drawn)) == len(frontiers) + 1
        pairs = {row["pair"] for row in drawn.tables["reversals of accuracy"]}
        assert len(pairs) == len(result.json()["reversals"])


def test_json_of_comparisons_has_no_nan(tmp_path: Path) -> None:
    for command in ("slopes", "pareto"):
        result = degen("scaling", command, two_architectures(tmp_path / "t.csv"), "--json")
        assert "NaN" not in result.out
        assert json.loads(result.out)["target"].endswith("t.csv")
