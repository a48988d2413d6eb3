"""Small messages that a user reads: what was written, what is not there, one of a kind."""

from __future__ import annotations

from pathlib import Path

from faults.command import SMALL, degen, degen_process

from degen.runs.run_writer import open_run


def test_a_gate_says_that_its_junit_file_was_written(run_copy: Path, tmp_path: Path) -> None:
    result = degen("gate", run_copy, "--rule", "anisotropy < 2", "--junit", tmp_path / "gate.xml")
    assert result.code == 0
    assert f"{tmp_path / 'gate.xml'}: 1 outcome as JUnit XML" in result.err


def test_one_revision_is_no_plural(series: Path) -> None:
    result = degen("audit", series / "step0", "--read", "none")
    assert "1 revision" in result.out
    assert "1 revisions" not in result.out + result.err


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "runs" / "cc").mkdir(parents=True)
    result = degen_process("scan", "runs/c", "-o", tmp_path / "run", cwd=tmp_path, HF_HUB_OFFLINE="1")
    assert result.code == 2
    first, *_, last = result.err.splitlines()
    assert first == "runs/c: no such folder in runs; did you mean 'cc'?; asking the hub for runs/c"
    assert last.startswith("error: ")
    elsewhere = degen_process("scan", "org/c", "-o", tmp_path / "run", cwd=tmp_path, HF_HUB_OFFLINE="1")
    assert "no such folder in" not in elsewhere.err


def test_fresh_leaves_no_unfinished_file(run_copy: Path, series: Path, corpus: Path) -> None:
    unfinished = [run_copy / ".0123456789abcdef.partial", run_copy / "layers" / "tiny" / ".0123456789abcdef.partial"]
    for file in unfinished:
        file.write_text("half")
    assert degen("scan", series, "--corpus", corpus, *SMALL, "-o", run_copy, "--fresh").code == 0
    assert not any(file.exists() for file in unfinished)
    other = run_copy / "notes.partial"
    other.write_text("a user's own")
    with open_run(run_copy, {}, fresh=True):
        assert other.exists()
