"""`degen rank` as a user runs it, on the bundled series."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.command import degen

import degen as package
from degen.figures.figure import Figure

DEMO = Path(package.__file__).parent / "demo" / "series" / "healthy"
SMALL = ("--tokens", "4000", "--context", "128", "--steps", "3000", "--threads", "1")


def test_rank_prints_losses_by_rank_and_the_bottleneck(tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = degen("rank", DEMO, "--ranks", "12,24,48", "--method", "svd,whitened", "-o", out, *SMALL)
    assert result.code == 0
    rows = [line.split() for line in result.out.splitlines() if " svd " in line or " whitened " in line][:6]
    assert [(r[2], r[3]) for r in rows] == [(m, r) for m in ("svd", "whitened") for r in ("12", "24", "48")]
    (table,) = [part for part in result.out.split("\n\n") if "bottleneck_rank_low" in part]
    assert [line.split()[2] for line in table.strip().splitlines()[2:]] == ["svd", "whitened"]
    again = degen("rank", DEMO, "--ranks", "12,24,48", "--method", "svd,whitened", "-o", out, *SMALL, "--json")
    document = again.json()
    assert [row["rank"] for row in document["rows"]] == [12, 24, 48, 12, 24, 48]
    (checkpoint,) = document["checkpoints"]
    assert checkpoint["bottleneck_rank"] in (24, 48)
    assert checkpoint["bottleneck_rank_method"] == "whitened"
    assert {row["bottleneck_rank"] for row in document["rows"] if row["method"] == "svd"} == {48}


def test_trained_heads_reach_the_closed_form_by_default(tmp_path: Path) -> None:
    """The case of issue 22, on fewer tokens: eight steps from N(0, 1) gave 100 to 219 nats, and exit 0."""
    words = ("--ranks", "12,24,48", "--method", "whitened,trained", "--train-tokens", "40000")
    result = degen("rank", DEMO, *words, "-o", tmp_path / "run", *SMALL, "--json")
    assert result.code == 0
    losses = {(row["method"], row["rank"]): row["loss"] for row in result.json()["rows"]}
    assert losses["trained", 12] < losses["whitened", 12] - 0.03
    for rank in (24, 48):
        assert losses["trained", rank] <= losses["whitened", rank] + 0.01


def test_a_lowest_measured_rank_within_reach_is_an_upper_bound(tmp_path: Path) -> None:
    words = ("--ranks", "32,48", "--within", "0.5", "-o", tmp_path / "run", *SMALL)
    result = degen("rank", DEMO, *words)
    expected = "healthy@step3000: by whitened the bottleneck rank is at most 32, the lowest measured; measure lower"
    assert expected in result.out


def test_heads_that_were_not_trained_say_so_on_the_screen(tmp_path: Path) -> None:
    words = ("--ranks", "12,48", "--method", "trained", "--train-tokens", "2000", "--train-windows", "256")
    result = degen("rank", DEMO, *words, "-o", tmp_path / "run", *SMALL)
    assert result.code == 0
    (line,) = [line for line in result.out.splitlines() if line.startswith("healthy@step3000 has no bottleneck rank")]
    assert "1 steps of Adam are too few to learn" in line


def test_a_checkpoint_without_a_bottleneck_rank_says_why(tmp_path: Path) -> None:
    result = degen("rank", DEMO, "--ranks", "1,2", "-o", tmp_path / "run", *SMALL)
    assert result.code == 0
    rows = package.read_run(tmp_path / "run").table("ranks").to_pylist()
    (line,) = [line for line in result.out.splitlines() if "no bottleneck rank" in line]
    assert line.startswith("healthy@step3000 has no bottleneck rank: at rank 2 the loss is ")
    assert f"{rows[-1]['loss_gap']:.3g} nats above" in line
    assert line.endswith("not within 0.05; measure larger ranks with --ranks, up to 48")


def test_rank_refuses_other_ranks_in_the_same_folder(tmp_path: Path) -> None:
    assert degen("rank", DEMO, "--ranks", "12", "-o", tmp_path / "run", *SMALL).code == 0
    result = degen("rank", DEMO, "--ranks", "24", "-o", tmp_path / "run", *SMALL)
    assert result.code == 2
    assert "other settings" in result.message


def test_rank_draws_a_plot_and_measures_the_gradient(tmp_path: Path, figures: list[Figure]) -> None:
    figure = tmp_path / "ranks.png"
    result = degen("rank", DEMO, "--gradient", "--plot", figure, "-o", tmp_path / "run", *SMALL, "--json")
    assert result.code == 0
    assert figure.read_bytes().startswith(b"\x89PNG")
    (row,) = result.json()["checkpoints"]
    assert 0 < row["gradient_lost"] < 1
    ranks = [r["rank"] for r in result.json()["rows"]]
    assert ranks == [1, 2, 4, 8, 16, 32, 48]
    (drawn,) = figures
    assert drawn.models == [f"{row['model']}@{row['revision']} whitened"]  # the legend
    assert [point["rank"] for point in drawn.tables["values"]] == ranks
    assert [point["value"] for point in drawn.tables["values"]] == [r["loss_gap"] for r in result.json()["rows"]]
    assert f"{figure}: Loss above the full head" in result.err


def test_scan_measures_rank_beside_other_probes(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert degen("scan", DEMO, "--probes", "loss,rank,anisotropy,spectrum", "-o", out, *SMALL).code == 0
    run = package.read_run(out)
    (row,) = run.checkpoints()
    assert None not in (row["loss"], row["anisotropy"], row["singular_entropy"], row["bottleneck_rank"])
    assert {r["method"] for r in run.table("ranks").to_pylist()} == {"whitened"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--ranks", "a,b"), "--ranks a,b"),
        (("--ranks", "0"), "--ranks 0"),
        (("--method", "magic"), "--method magic"),
        (("--init", "zeros", "--method", "trained"), "--init zeros"),
        (("--within", "-1"), "--within"),
        (("--plot", "figure.exe"), "--plot figure.exe"),
        (("--plot", "no/such/folder/x.png"), "no such folder"),
    ],
)
def test_wrong_options_of_rank_are_refused_before_a_scan(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    result = degen("rank", DEMO, "-o", tmp_path / "run", *SMALL, *words)
    assert result.code == 2
    assert message in result.message
    assert not (tmp_path / "run").exists()
