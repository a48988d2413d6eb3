"""A scan whose memory is cut in its middle, by the limit of the process, and which is continued with all of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults.command import CommandResult
from faults.warm import Warm
from tiny import make_checkpoint, make_series

from degen import read_run

MIB = 2**20
# Two checkpoints that want more memory than the others: 26 MB in their blocks, and 26 MB in their heads.
LARGE = {"step2": {"hidden_size": 512}, "step3": {"vocab_size": 100_000, "hidden_size": 64}}
STEPS = ("step0", "step1", *LARGE, "step4")


@dataclass(frozen=True)
class Undisturbed:
    """A run with all the memory there is: the words of its command but for `--out`, and its files."""

    args: tuple[object, ...]
    files: dict[str, bytes]


def files(run: Path) -> dict[str, bytes]:
    """Return every file of a run but the table `timing` and the lock."""
    there = {str(file.relative_to(run)): file for file in sorted(run.rglob("*")) if file.is_file()}
    return {name: file.read_bytes() for name, file in there.items() if not name.startswith((".lock", "timing/"))}


@pytest.fixture(scope="module")
def undisturbed(warm: Warm, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("memory")
    series = make_series(folder / "tiny", (0, 1, 4))
    for step, changes in LARGE.items():
        make_checkpoint(series / step, seed=9, **changes)
    args = ("scan", series, "--corpus", corpus, "--tokens", 512, "--context", 64, "--threads", 1, "--batch-size", 8)
    assert warm.run((*args, "--out", folder / "run"), folder / "log") == 0, (folder / "log").read_text()
    return Undisturbed(args, files(folder / "run"))


@pytest.mark.parametrize(
    "spare", [2, *(pytest.param(mib, marks=pytest.mark.faults) for mib in (0, 1, 4, 8, 12, 16, 20, 24, 32, 40, 64))]
)
def test_a_scan_that_runs_out_of_memory_keeps_what_is_finished_and_goes_on(
    warm: Warm, undisturbed: Undisturbed, tmp_path: Path, spare: int
) -> None:
    out, log = tmp_path / "run", tmp_path / "log"
    first = out / "checkpoints" / "tiny" / "step0.parquet"
    code = warm.wait(warm.start((*undisturbed.args, "--out", out), log, starved=first, spare=spare * MIB))
    result = CommandResult(code, "", log.read_text(), tuple(map(str, undisturbed.args)))
    print(spare, code, result.err)
    result.assert_no_fault()
    assert code == 4 or (code == 0 and spare >= 16), result.err
    rows = {row["revision"]: row for row in read_run(out).checkpoints()}
    assert rows["step0"]["status"] == "ok"
    for revision, row in rows.items():
        if row["status"] == "ok" and "batches of" not in result.err:
            for name in [name for name in files(out) if name.endswith(f"/{revision}.parquet")]:
                assert (out / name).read_bytes() == undisturbed.files[name]
        if row["status"] == "failed":
            assert row["reason"].startswith("out of memory"), row["reason"]
            assert (
                "when more memory is free" in row["reason"]
                or "--dtype" in row["reason"]
                or "--context" in row["reason"]
            )
    assert not list(out.rglob("*.partial"))
    assert warm.run((*undisturbed.args, "--out", out), log) == 0, log.read_text()
    assert files(out) == undisturbed.files
    shutil.rmtree(out)
