"""`degen report` as a user calls it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from faults.command import degen
from made_runs import make_run
from pages import Page
from terminal import on_terminal


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "no such folder"),
        (("RUN", "-o", "page.pdf"), "must end in .html"),
        (("RUN", "-o", "nowhere/page.html"), "no such folder"),
        (("RUN", "-o", "RUN/layers/page.html"), "which the run keeps"),
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
