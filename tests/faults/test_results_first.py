"""Results come before ceremony: what was computed is printed, even where it cannot be kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults.command import CommandResult, degen, full_disk
from faults.privileges import without_privileges

import degen as degen_package


@contextmanager
def read_only(run: Path) -> Iterator[None]:
    """A run on a disk that cannot be written to."""
    folders = [run, *(p for p in run.rglob("*") if p.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        with without_privileges():
            yield
    finally:
        for folder in folders:
            folder.chmod(0o755)


def verdicts(result: CommandResult) -> list[object]:
    return [row["verdict"] for row in result.json()["rows"]]


def test_saturation_of_a_read_only_run_prints_its_answer(run_copy: Path) -> None:
    whole = degen("saturation", run_copy, "--json")
    assert whole.code == 0
    kept = run_copy / "saturation" / "tiny.parquet"
    before = kept.read_bytes()
    with read_only(run_copy):
        for more in ((), ("--json",)):
            result = degen("saturation", run_copy, *more)
            assert result.code == 0
            assert "undecided" in result.out
            assert result.err.startswith(f"warning: {run_copy}: cannot be written (Permission denied); ")
            assert "not kept in the run" in result.err
            assert "--out" not in result.err
        assert verdicts(result) == verdicts(whole)
    assert kept.read_bytes() == before


def test_saturation_on_a_full_disk_prints_its_answer(run_copy: Path, tmp_path: Path) -> None:
    with full_disk(100):
        result = degen("saturation", run_copy, "--json")
    assert (result.code, len(result.json()["rows"])) == (0, 3)
    assert "not kept in the run" in result.err
    assert not list(run_copy.rglob("*.partial"))
    assert not (run_copy / "saturation" / "tiny.parquet").exists()
    with full_disk(100):
        result = degen("saturation", run_copy, "--to", tmp_path / "a.csv")
    assert result.code == 2
    assert "undecided" in result.out
    assert f"{tmp_path / 'a.csv'}: cannot be written" in result.err


def test_verdicts_are_not_written_over_what_degen_did_not_write(run_copy: Path) -> None:
    (run_copy / "saturation").mkdir()
    (run_copy / "saturation" / "tiny.parquet").mkdir()
    result = degen("saturation", run_copy)
    assert result.code == 0
    assert "undecided" in result.out
    assert "is in the way of a part, and degen did not write it; these verdicts are not kept" in result.err


@pytest.mark.parametrize("command", ["fit", "slopes", "pareto"])
@pytest.mark.parametrize("option", ["--out", "--plot"])
def test_scaling_prints_its_answer_before_a_file_that_cannot_be_written(
    command: str, option: str, tmp_path: Path
) -> None:
    rows = [(f"m{i}", 10.0 ** (6 + i % 5), 10.0 ** (9 + i // 5), "ab"[i % 2]) for i in range(20)]
    table = tmp_path / "table.csv"
    lines = [f"{m}{i},{a},{N},{D},{1.7 + 406 * N**-0.34 + 410 * D**-0.28}" for i, (m, N, D, a) in enumerate(rows)]
    table.write_text("model,architecture,params,tokens,loss\n" + "\n".join(lines) + "\n")
    to = tmp_path / ("a.csv" if option == "--out" else "a.png")
    more = ("--bootstrap", 0) if command == "fit" else ()
    whole = degen("scaling", command, table, *more)
    assert whole.code == 0
    with full_disk(100):
        result = degen("scaling", command, table, *more, option, to)
    assert result.code == 2
    assert result.out == whole.out
    assert f"{to}: cannot be written" in result.message
    assert not to.exists()


def test_messages_name_no_option_that_the_command_has_not(run: degen_package.Run, tmp_path: Path) -> None:
    for command in (
        ("show", tmp_path / "nosuch"), ("saturation", tmp_path), ("export", run.path, "--table", "x", "--to", "a.csv"),
        ("audit", tmp_path / "nosuch"), ("gate", tmp_path, "--rule", "loss < 3"), ("rank", tmp_path / "nosuch"),
        ("scaling", "fit", tmp_path / "nosuch"), ("scaling", "pareto", tmp_path), ("audit", "nosuch", "--steps", "x"),
    ):  # fmt: skip
        assert degen(*command).message
