"""`degen report` as a user calls it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
from faults.command import degen
from made_runs import make_run
from pages import Page
from terminal import on_terminal

from degen.runs.run import read_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("reported") / "run", ("good", "bad"), 6, 2, windows=4)


def test_a_page_is_written_and_named(run: Path, tmp_path: Path) -> None:
    result = degen("report", run, "-o", tmp_path / "page.html")
    assert (result.code, result.err) == (0, "")
    assert re.fullmatch(rf"{tmp_path / 'page.html'}: 1\.[01] MB\n", result.out)
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.headings[0] == ("h1", "degen report: run")
    assert len(page.figures) >= 7
    assert list(tmp_path.iterdir()) == [tmp_path / "page.html"]


def test_two_runs_stand_side_by_side(run: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", ("bad", "third"), 5, 2, windows=4)
    assert degen("report", run, other, "-o", tmp_path / "page.html").code == 0
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    loss = next(figure for figure in page.figures if figure.title == "Loss")
    assert list(dict.fromkeys(row["model"] for row in loss.tables["values"])) == [
        "good", "run: bad", "other: bad", "third"
    ]  # fmt: skip
    assert ("h2", "Side by side") in page.headings
    difference = next(figure for figure in page.figures if figure.title == "Difference in loss").tables["values"]
    assert [int(row["step"]) for row in difference] == [0, 1000, 2000, 3000, 4000]
    assert "Not compared: good: only in" in " ".join(page.text.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "no such folder"),
        (("RUN", "-o", "page.pdf"), "must end in .html"),
        (("RUN", "-o", "nowhere/page.html"), "no such folder"),
        (("RUN", "-o", "RUN/layers/page.html"), "which the run keeps"),
        (("RUN", "--figures", "nowhere/figures"), "no such folder"),
        (("RUN", "--figures", "RUN/layers"), "which the run keeps"),
        (("RUN", "--figures", "new", "--format", "gif"), "not one of svg, pdf, png"),
        (("RUN", "--figures", "new", "--paper", "nobody"), "not one of godey2024"),
        (("RUN", "--paper", "godey2024"), "name a folder with --figures"),
        ((), "Missing argument"),
    ],
)
def test_mistakes_get_one_message(
    arguments: tuple[str, ...], message: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = degen("report", *(word.replace("RUN", str(run)) for word in arguments))
    assert result.code == 2
    assert message in result.err
    assert result.out == ""
    assert list(tmp_path.iterdir()) == []


def test_what_is_printed_fits_a_terminal(run: Path, tmp_path: Path) -> None:
    code, text = on_terminal("report", run, "-o", "page.html", cwd=tmp_path)
    assert code == 0
    assert all(len(line) <= 80 for line in text.splitlines())
    assert re.search(r"page.html: 1\.[01] MB", text)


@pytest.mark.parametrize(("ending", "start"), [("svg", b"<svg"), ("pdf", b"%PDF"), ("png", b"\x89PNG")])
def test_figures_are_written_with_their_numbers(ending: str, start: bytes, run: Path, tmp_path: Path) -> None:
    result = degen("report", run, "--figures", tmp_path / "figures", "--format", ending)
    assert result.code == 0
    names = {file.name for file in (tmp_path / "figures").iterdir()}
    assert {f"loss.{ending}", "loss.csv", f"layers-bad.{ending}", f"spectrum-good.{ending}"} <= names
    assert (tmp_path / "figures" / f"loss.{ending}").read_bytes().startswith(start)
    rows = pl.read_csv(tmp_path / "figures" / "loss.csv")
    assert rows["value"].to_list() == [row["loss"] for row in read_run(run).checkpoints()]
    assert {name.rpartition(".")[0] for name in names if name.endswith(ending)} <= {
        name.rpartition(".")[0] for name in names if name.endswith("csv")
    }


def test_svg_speaks_to_screen_readers(run: Path, tmp_path: Path) -> None:
    assert degen("report", run, "--figures", tmp_path).code == 0
    root = ElementTree.parse(tmp_path / "loss.svg").getroot()
    assert root.attrib["role"] == "graphics-document"
    assert root.attrib["aria-label"].startswith("Loss over training of good and bad.")
    labels = [element.attrib["aria-label"] for element in root.iter() if "aria-label" in element.attrib]
    assert any("model: bad; revision: step5000" in label for label in labels)


def test_the_figures_of_the_paper_have_its_numbers(run: Path, tmp_path: Path) -> None:
    result = degen("report", run, "--figures", tmp_path, "--paper", "godey2024", "--published")
    assert result.code == 0
    drawn = sorted(file.stem.removeprefix("figure-") for file in tmp_path.glob("*.svg"))
    assert drawn == ["1a", "1b-published", "2", "3a", "3b", "4-1", "4-2", "5"]
    for number in ("1b", "6", "7"):
        assert f"figure {number} of godey2024: not measured" in result.out
    rows = pl.read_csv(tmp_path / "figure-5.csv")
    published = rows.filter(pl.col("model") == "pythia-14m (published)")
    assert published["step"].to_list()[:2] == [2000, 10000]
    assert published["value"].to_list()[:2] == [0.82, 0.73]
    depth = pl.read_csv(tmp_path / "figure-2.csv").filter(pl.col("model") == "bad")
    assert depth["depth"].to_list() == [0, 0.5, 1]
    layers = [r for r in read_run(run).table("layers").to_pylist() if (r["model"], r["step"]) == ("bad", 5000)]
    assert depth["value"].to_list() == [row["anisotropy"] for row in layers if row["site"] != "head_input"]


def test_the_law_of_the_published_losses_is_a_figure_of_its_own(run: Path, tmp_path: Path) -> None:
    assert degen("report", run, "--figures", tmp_path, "--paper", "godey2024", "--published").code == 0
    losses = pl.read_csv(tmp_path / "figure-1b-published.csv").sort("parameters")
    law = pl.read_csv(tmp_path / "figure-1b-published-law.csv").sort("parameters")
    assert "fitted to the 6 larger models: A = 118.7" in (tmp_path / "figure-1b-published.svg").read_text()
    tokens = 140_000 * 2_097_152
    expected = [118.66 / n**0.2463 + 410.7 / tokens**0.28 + 1.69 for n in law["parameters"]]
    assert law["loss"].to_list() == pytest.approx(expected, rel=5e-4)  # A is rounded
    finals = losses.filter(pl.col("model") == "final loss, predicted")
    assert finals["label"].to_list() == ["pythia-14m", "pythia-31m", "pythia-70m", "pythia-160m"]
    gaps = [loss / by_law - 1 for loss, by_law in zip(finals["loss"], law["loss"][:4], strict=True)]
    assert sum(gaps) / 4 == pytest.approx(0.084, abs=5e-4)  # published: 8.4 %


def test_the_published_ranks_stand_beside_those_of_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", ("good",), 2, 2, windows=4, ranks=(4, 16))
    assert degen("report", run, "--figures", tmp_path / "f", "--paper", "godey2024", "--published").code == 0
    rows = pl.read_csv(tmp_path / "f" / "figure-6.csv")
    assert rows.filter(pl.col("model") == "good")["rank"].to_list() == [4, 16]
    assert rows.filter((pl.col("model") == "pythia-410m (published)") & (pl.col("rank") == 32))["value"].item() == 4.06


@pytest.mark.parametrize("package", ["altair", "vl_convert", "jinja2"])
def test_a_missing_extra_is_named_before_anything_is_read(
    package: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    result = degen("report", run, "-o", tmp_path / "page.html")
    assert result.code == 2
    assert "pip install 'degen-lm[report]'" in result.err
    assert list(tmp_path.iterdir()) == []
