"""A scan that is cut, by SIGKILL, by Ctrl-C or by a full disk, and continued.

`make test` cuts at a few moments, `make faults` at many more.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import polars
import pyarrow.parquet as pq
import pytest
from faults.command import CommandResult, degen, executable, python_process
from faults.warm import Warm
from tiny import make_series
from waiting import wait_until

from degen import read_run

SEED = 20_240_411
STEPS = (0, 1, 2, 5, 10, 50, 100, 200)
FEW_CUTS, CUTS = (1, 3), (1, 2, 3, 4, 5, 5)  # SIGKILLs a run: four in all, and twenty


@dataclass(frozen=True)
class Uncut:
    """A run that nothing disturbed."""

    args: tuple[object, ...]
    out: Path
    seconds: float
    files: dict[str, bytes]

    def to(self, out: Path) -> tuple[object, ...]:
        """Return the same command with another output folder."""
        return (*self.args, "--out", out)


def files(run: Path, timing: bool = False) -> dict[str, bytes]:
    """Return every file of a run but the table `timing` and the lock."""
    return {
        str(p.relative_to(run)): p.read_bytes()
        for p in sorted(run.rglob("*"))
        if p.is_file() and p.name != ".lock" and (timing or p.relative_to(run).parts[0] != "timing")
    }


@pytest.fixture(scope="module")
def uncut(warm: Warm, tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Uncut:
    folder = tmp_path_factory.mktemp("uncut")
    series = make_series(folder / "tiny", STEPS)
    args = ("scan", series, "--corpus", corpus, "--tokens", 512, "--context", 64, "--threads", 1)
    out = folder / "run"
    pid = warm.start((*args, "--out", out), folder / "log")
    wait_until(out.exists)
    start = time.monotonic()
    assert warm.wait(pid) == 0, (folder / "log").read_text()
    return Uncut(args, out, time.monotonic() - start, files(out))


def assert_readers_do_not_stumble(run: Path, uncut: Uncut) -> None:
    """Check that a run can be read whole, and that each checkpoint in `checkpoints` has all its parts."""
    done = {p.name for p in (run / "checkpoints").rglob("[!.]*.parquet")}
    for table in ("checkpoints", "layers", "windows", "spectrum"):
        parts = {p.name for p in (run / table).rglob("[!.]*.parquet")}
        assert done <= parts
        for name in parts:
            where = f"{table}/tiny/{name}"
            assert (run / where).read_bytes() == uncut.files[where]
        if parts:
            rows = len(pq.read_table(run / table))
            assert rows == len(polars.read_parquet(run / table / "**/*.parquet"))
            assert rows % len(parts) == 0


@pytest.mark.parametrize(("cuts_of_runs", "places"), [(FEW_CUTS, 2), pytest.param(CUTS, 4, marks=pytest.mark.faults)])
def test_a_scan_cut_by_sigkill_and_continued_equals_an_uncut_one(
    warm: Warm, uncut: Uncut, tmp_path: Path, cuts_of_runs: tuple[int, ...], places: int
) -> None:
    print(f"seed {SEED}, {uncut.seconds:.2f} s uncut")
    moment = random.Random(SEED)
    counts = set()
    for number, cuts in enumerate(cuts_of_runs):
        out, log = tmp_path / f"run{number}", tmp_path / "log"
        parts = [out, *(out / "checkpoints" / "tiny" / f"step{step}.parquet" for step in STEPS)]
        for begun in sorted(moment.sample(range(len(parts)), cuts)):  # how far it is, and a moment of the next step
            after = moment.uniform(0, uncut.seconds / len(parts))
            code = warm.cut(uncut.to(out), log, signal.SIGKILL, parts[begun], after)
            assert code in (-signal.SIGKILL, 0), log.read_text()
            assert_readers_do_not_stumble(out, uncut)
            counts.add(len(list((out / "checkpoints").rglob("[!.]*.parquet"))))
        assert warm.run(uncut.to(out), log) == 0, log.read_text()
        assert files(out) == uncut.files
    assert len(counts) >= places, f"the kills all came in the same places: {counts}"


def test_what_a_killed_scan_was_writing_is_gone_once_it_is_continued(warm: Warm, uncut: Uncut, tmp_path: Path) -> None:
    run = Path(shutil.copytree(uncut.out, tmp_path / "run"))
    for folder in (run, run / "layers", run / "layers" / "tiny", run / "checkpoints" / "tiny"):
        (folder / f".{'0123456789abcdef'}.partial").write_bytes(b"PAR1")
    (run / ".mine.partial").write_bytes(b"")
    assert warm.run(uncut.to(run), tmp_path / "log") == 0
    (run / ".mine.partial").unlink()
    assert files(run) == uncut.files


@pytest.mark.parametrize("kills", [2, pytest.param(6, marks=pytest.mark.faults)])
def test_a_scan_cut_by_sigkill_before_its_first_checkpoint_and_continued_equals_an_uncut_one(
    warm: Warm, uncut: Uncut, tmp_path: Path, kills: int
) -> None:
    moment = random.Random(SEED)
    out, log = tmp_path / "run", tmp_path / "log"
    for _ in range(kills):
        warm.cut(uncut.to(out), log, signal.SIGKILL, out, moment.uniform(0, 0.05 * uncut.seconds))
    warm.cut(uncut.to(out), log, signal.SIGKILL, out / "sample.parquet", 0)
    assert warm.run(uncut.to(out), log) == 0, log.read_text()
    assert files(out) == uncut.files


def test_a_scan_killed_between_the_sample_and_run_json_can_be_continued(
    warm: Warm, uncut: Uncut, tmp_path: Path
) -> None:
    """What such a kill leaves: the windows, no run.json, and a file half written under another name."""
    out, log = tmp_path / "run", tmp_path / "log"
    out.mkdir()
    (out / "sample.parquet").write_bytes(uncut.files["sample.parquet"])
    (out / ".0123456789abcdef.partial").write_bytes(b"{")
    sample = ("--sample", uncut.out / "sample.parquet")
    assert warm.run((*uncut.to(out), *sample), log) == 0, log.read_text()
    assert not list(out.rglob(".*.partial"))
    assert "taken_from" in read_run(out).info["sample"]
    assert pq.read_table(out / "sample.parquet") == pq.read_table(uncut.out / "sample.parquet")
    assert files(out)["windows/tiny/step50.parquet"][-4:] == b"PAR1"
    assert read_run(out).checkpoints() == read_run(uncut.out).checkpoints()


@pytest.mark.parametrize("moments", [3, pytest.param(8, marks=pytest.mark.faults)])
def test_ctrl_c_at_any_moment_gives_one_message_and_keeps_finished_parts(
    warm: Warm, uncut: Uncut, tmp_path: Path, moments: int
) -> None:
    print(f"seed {SEED}")
    moment = random.Random(SEED)
    out, log = tmp_path / "run", tmp_path / "log"
    for _ in range(moments):
        code = warm.cut(uncut.to(out), log, signal.SIGINT, out, moment.uniform(0, 0.25 * uncut.seconds))
        result = CommandResult(code, "", log.read_text())
        result.assert_no_fault()
        if code != 0:
            assert code == 130, result.err
            assert result.err.count("error:") == 1
            assert "error: interrupted; " in result.err
        assert not list(out.rglob("*.partial"))
        assert_readers_do_not_stumble(out, uncut)
    assert warm.run(uncut.to(out), log) == 0, log.read_text()
    assert files(out) == uncut.files


def started(uncut: Uncut, out: Path) -> subprocess.Popen[str]:
    """Start `degen scan` in a process of its own; return it once its first checkpoint is written."""
    process = subprocess.Popen(
        [executable(), *map(str, uncut.to(out))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: process.poll() is not None or list((out / "checkpoints").rglob("[!.]*.parquet")))
    assert process.poll() is None, process.communicate()
    return process


def test_ctrl_c_in_a_process_of_its_own_gives_one_message_and_keeps_finished_parts(
    uncut: Uncut, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = started(uncut, out)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert CommandResult(130, stdout, stderr).message == (
        "interrupted; what was finished is kept, and the same command goes on from there"
    )
    finished = files(out)
    assert "checkpoints/tiny/step0.parquet" in finished
    assert "checkpoints/tiny/step200.parquet" not in finished
    continued = degen(*uncut.to(out))
    assert continued.code == 0
    assert " of 8 checkpoints are measured already" in continued.err
    assert {name: data for name, data in files(out).items() if name in finished} == finished
    assert files(out) == uncut.files


def test_a_second_scan_of_a_folder_is_refused_while_the_first_is_at_work(
    warm: Warm, uncut: Uncut, tmp_path: Path
) -> None:
    out, log = tmp_path / "run", tmp_path / "log"
    first = warm.start(uncut.to(out), log)
    wait_until(lambda: list((out / "checkpoints").rglob("[!.]*.parquet")))
    os.kill(first, signal.SIGSTOP)
    try:
        for more in ((), ("--fresh",)):
            second = degen(*uncut.to(out), *more)
            assert second.code == 2
            assert f"{out}: another scan is at work in it" in second.message
            assert "--out" in second.message
        assert degen("show", out).code == 0
    finally:
        os.kill(first, signal.SIGCONT)
    assert warm.wait(first) == 0, log.read_text()
    assert files(out) == uncut.files


def test_a_full_disk_ends_the_scan_and_keeps_finished_parts(warm: Warm, uncut: Uncut, tmp_path: Path) -> None:
    out, log = tmp_path / "run", tmp_path / "log"
    code = warm.run(uncut.to(out), log, full=out / "checkpoints/tiny/step0.parquet")
    result = CommandResult(code, "", log.read_text())
    assert result.code == 4
    assert str(out) in result.message
    assert "cannot be written" in result.message
    assert "what was finished is kept, and the same command goes on" in result.message
    done = list((out / "checkpoints").rglob("[!.]*.parquet"))
    assert 1 <= len(done) < len(STEPS)
    assert not list(out.rglob("*.partial"))
    assert_readers_do_not_stumble(out, uncut)
    assert degen(*uncut.to(out)).code == 0
    assert files(out) == uncut.files


def test_a_disk_that_is_full_from_the_start_is_one_message_with_exit_code_2(
    warm: Warm, uncut: Uncut, tmp_path: Path
) -> None:
    out, log = tmp_path / "run", tmp_path / "log"
    result = CommandResult(warm.run(uncut.to(out), log, full=tmp_path), "", log.read_text())
    assert result.code == 2
    assert str(out) in result.message
    assert "cannot be written" in result.message
    assert "--out" in result.message
    assert degen(*uncut.to(out)).code == 0
    assert files(out) == uncut.files


WITHOUT = """
import sys
from degen.cli.main import main
sys.argv[0] = "degen"
try:
    main()
finally:
    loaded = sorted({"torch", "transformers", "tokenizers", "datasets"} & set(sys.modules))
    print("loaded:", *loaded, file=sys.stderr)
"""


def test_continuing_a_finished_run_changes_no_byte_and_loads_no_torch(uncut: Uncut, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert degen(*uncut.to(out)).code == 0
    before = files(out, timing=True)
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.name != ".lock"}
    for more in ((), ("--json",)):
        result = python_process(WITHOUT, *uncut.to(out), *more)
        assert result.code == 0
        assert result.err.splitlines() == ["8 of 8 checkpoints are measured already", "loaded:"]
    assert files(out, timing=True) == before
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.name != ".lock"} == times
    assert result.json()["rows"][0]["revision"] == "step0"


def test_a_checkpoint_that_failed_is_tried_again(uncut: Uncut, tmp_path: Path) -> None:
    """And mended it counts, while the others stay as they were."""
    series, out = make_series(tmp_path / "tiny", (0, 1, 2)), tmp_path / "run"
    config = series / "step1" / "config.json"
    config.rename(tmp_path / "kept.json")
    args = ("scan", series, *uncut.args[2:], "--out", out)
    assert degen(*args).code == 4
    first = files(out)
    os.rename(tmp_path / "kept.json", config)
    result = degen(*args)
    assert result.code == 0
    assert "2 of 3 checkpoints are measured already" in result.err
    then = files(out)
    assert [row["status"] for row in read_run(out).checkpoints()] == ["ok", "ok", "ok"]
    assert {name for name in then if then[name] != first.get(name)} == {
        *(f"{table}/tiny/step1.parquet" for table in ("checkpoints", "layers", "windows", "spectrum", "domains"))
    }
