"""`degen compare` as a user calls it."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.command import degen
from made_runs import make_run
from terminal import on_terminal


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("compared")
    return make_run(folder / "before", ("base", "other"), 8, 2), make_run(folder / "after", ("x", "base"), 8, 2)


def test_differences_and_verdicts_fit_a_terminal(runs: tuple[Path, Path]) -> None:
    code, text = on_terminal("compare", "before", "after", cwd=runs[0].parent)
    assert code == 0
    assert all(len(line) <= 80 for line in text.splitlines()), text
    for words in ("Verdicts that differ", "first: before; second: after", "not compared: other: only in before"):
        assert words in text


def test_json_has_every_checkpoint(runs: tuple[Path, Path]) -> None:
    document = degen("compare", *runs, "--json").json()
    assert len(document["rows"]) == 3 * 8
    assert document["unit"] == "step"
    last = next(row for row in document["rows"] if row["metric"] == "loss" and row["is_last"])
    assert last["step"] == 7000
    assert last["difference"] == pytest.approx(0.75, abs=0.02)
    assert {row["first_verdict"] for row in document["verdicts"]} == {"not_saturated"}


def test_pairs_and_all_checkpoints(runs: tuple[Path, Path]) -> None:
    result = degen("compare", *runs, "--pair", "other=base", "--metric", "loss", "--all", "--by", "tokens")
    assert result.code == 0
    assert result.out.count("other, base") == 8
    assert "The verdicts agree (1 of them)." in result.out


@pytest.mark.parametrize(
    ("options", "message"), [(("--by", "hours"), "not one of step, tokens"), (("--pair", "x"), "base=wide")]
)
def test_mistakes_get_one_message(options: tuple[str, ...], message: str, runs: tuple[Path, Path]) -> None:
    result = degen("compare", *runs, *options)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""
