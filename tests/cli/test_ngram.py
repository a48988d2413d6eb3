"""`degen ngram` as a user meets it: corpora in, dimensions out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from faults.command import degen

from degen.demo import series_paths
from degen.figures.figure import Figure
from degen.runs.run import read_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ngram") / "run"
    assert degen("scan", series_paths()[0], "--steps", "0,3000", "--probes", "spectrum", "-o", out).code == 0
    return out


def test_bare_ngram_measures_the_demo() -> None:
    result = degen("ngram", "--contexts", 500)
    assert result.code == 0
    assert "demo, demo, order 5: 500 of 71," in result.out
    assert "drawn by seed 0" in result.out
    assert "d at 0.5" in result.out
    assert "Pythia-14M" in result.out
    assert "all 85,483 tokens were read" in result.err


def test_orders_and_tokenizers_in_one_table_and_one_figure(tmp_path: Path, figures: list[Figure]) -> None:
    out, plot = tmp_path / "n.csv", tmp_path / "n.png"
    folder = str(series_paths()[0])
    result = degen(
        "ngram", "demo", "--tokenizer", "demo", "--tokenizer", folder, "--order", 2, "--order", 4,
        "--least-count", 3, "--weighted", "-o", out, "--plot", plot, "--json",
    )  # fmt: skip
    rows = result.json()["rows"]
    assert {(row["tokenizer"], row["order"]) for row in rows} == {(t, n) for t in ("demo", folder) for n in (2, 4)}
    assert all(row["weighted"] and row["least_count"] == 3 and row["method"] == "exact" for row in rows)
    table = pl.read_csv(out)
    assert table["w_error"].to_list() == pytest.approx([row["w_error"] for row in rows])
    labels = [f"demo, {t}, order {n}" for t in ("demo", folder) for n in (2, 4)]
    assert list(figures[0].models) == labels
    assert figures[0].spec["layer"][-1]["encoding"]["color"]["scale"]["domain"] == labels
    curve = {row["dimension"]: row["value"] for row in figures[0].tables["values"] if row["model"] == labels[0]}
    drawn = {row["dimension"]: row["w_error"] for row in rows if (row["tokenizer"], row["order"]) == ("demo", 2)}
    assert curve == drawn
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert result.err.endswith(f"{plot}: Dimensions that the text needs\n")


def test_a_run_is_compared_and_keeps_the_table(run: Path, tmp_path: Path) -> None:
    result = degen("ngram", "--run", run, "--order", 3, "--contexts", 2000)
    assert result.code == 0
    assert "Heads and data" in result.out
    assert "d at 0.5 and d at 0.1" in result.out  # 48 dimensions are fewer than the data needs for either
    rows = read_run(run).table("ngram").to_pylist()
    at_width = next(row for row in rows if row["dimension"] == row["head_size"] == 48)
    assert (at_width["model"], at_width["head_revision"]) == ("healthy", "step3000")
    assert at_width["head_w_error"] == 0
    spectrum = pl.read_parquet(run / "spectrum" / "*" / "step3000.parquet")["singular_value"].to_numpy()
    for row in rows:
        left = np.sqrt(np.sum(np.sort(spectrum)[::-1][row["dimension"] :] ** 2) / np.sum(spectrum**2))
        assert row["head_w_error"] == pytest.approx(left, abs=1e-12)
    assert "Heads and data" in degen("show", run).out
    assert degen("export", run, "--table", "ngram", "--to", tmp_path / "n.csv").code == 0
    assert pl.read_csv(tmp_path / "n.csv").height == len(rows)
    assert pq.read_table(run / "ngram").num_rows == len(rows)


def test_a_rescan_from_the_start_takes_the_table_away(run: Path, tmp_path: Path) -> None:
    import shutil

    copied = Path(shutil.copytree(run, tmp_path / "run"))
    assert degen("ngram", "--run", copied, "--contexts", 50).code == 0
    scan = ("scan", series_paths()[0], "--steps", "0,3000", "--probes", "spectrum", "-o", copied)
    assert degen(*scan, "--fresh").code == 0
    assert "ngram" not in read_run(copied).tables


def test_a_run_without_a_spectrum_says_how_to_add_it(tmp_path: Path) -> None:
    out = tmp_path / "run"
    scan = ("scan", series_paths()[0], "--steps", "0", "--probes", "loss", "--tokens", 64, "-o", out)
    assert degen(*scan).code == 0
    result = degen("ngram", "--run", out)
    assert result.code == 2
    assert "no table spectrum" in result.err
    assert "--probes spectrum" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.jsonl", "--tokenizer", "demo"), "nowhere.jsonl: no such file"),
        (("c4",), "name the tokenizer"),
        (("--order", "1"), "--order 1: must be from 2"),
        (("--out", "n.txt"), "ends in none of"),
        (("--plot", "n.xyz"), "not a format of figures"),
        (("--run", "nowhere"), "no such folder"),
        (("--tokenizer", "/nowhere/at/all"), "no such folder"),
        (("--least-count", "99999"), "lower --least-count"),
    ],
)
def test_mistakes_get_one_message(arguments: tuple[str, ...], message: str) -> None:
    result = degen("ngram", *arguments)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""


def test_the_corpus_is_not_overwritten(tmp_path: Path) -> None:
    corpus = tmp_path / "c.parquet"
    pl.DataFrame({"text": ["a text of some words, repeated. " * 30]}).write_parquet(corpus)
    before = corpus.read_bytes()
    result = degen("ngram", corpus, "--tokenizer", "demo", "--out", corpus)
    assert result.code == 2
    assert "name another file" in result.err
    assert corpus.read_bytes() == before
