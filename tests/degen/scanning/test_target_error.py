"""Windows as many as standard errors need: a pilot fixes their number for all checkpoints, and for good."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import make_checkpoint, make_corpus, make_series, pile

import degen
from degen import DegenError
from degen.forward.batch_size import batch_tokens_for
from degen.scanning.progress import Progress
from degen.scanning.target_error import windows_needed

SCAN: dict[str, Any] = {"tokens": 3000, "context": 32, "threads": 1, "probes": ["loss", "anisotropy"]}


class Notes(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)

    def warn(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a series of two checkpoints and a corpus of sixty documents."""
    folder = tmp_path_factory.mktemp("target")
    corpus = make_corpus(folder / "corpus.jsonl", pile(60, 300))
    return make_series(folder / "tiny", (0, 100)), corpus


def test_windows_that_a_target_takes_hold_it_in_nine_of_ten_draws() -> None:
    """Of normal figures with a known spread: the error of a mean of the windows that a pilot asked for."""
    rng, sigma, target = np.random.default_rng(0), 2.0, 0.1
    enough = sigma**2 / target**2  # windows that bring the error down to the target
    needed = []
    for _ in range(400):
        pilot = rng.normal(0, sigma, size=40)
        needed.append(windows_needed(40, 40, {"m": pilot.std(ddof=1) / np.sqrt(40)}, {"m": target}))
    assert 0.86 < np.mean(np.array(needed) >= enough) < 0.94
    assert np.median(needed) < 1.8 * enough
    two_targets = windows_needed(40, 40, {"a": 0.2, "b": 0.1}, {"a": 0.1, "b": 0.1})
    assert two_targets == windows_needed(40, 40, {"a": 0.2}, {"a": 0.1})  # the harder one decides


def test_a_pilot_fixes_the_windows_of_all_checkpoints_and_a_run_goes_on_with_them(
    two: tuple[Path, Path], tmp_path: Path
) -> None:
    series, corpus = shutil.copytree(two[0], tmp_path / "tiny"), two[1]
    whole = degen.scan(series, corpus=corpus, out=tmp_path / "whole", **SCAN)
    last = whole.checkpoints()[-1]
    target = {"loss": 2.5 * last["loss_se"]}
    said = Notes()
    run = degen.scan(series, corpus=corpus, out=tmp_path / "run", target_se=target, progress=said, **SCAN)
    fixed = run.info["sample"]["target_se"]
    count = fixed["windows"]
    (windows,) = run.info["sample"]["windows"].values()
    assert windows["windows"] == count < len(whole.table("windows")) / 2
    assert f"--target-se: {count} windows of each checkpoint" in said.lines
    assert fixed["targets"] == target
    assert list(fixed["pilot_errors"]) == ["tiny@step100"]
    first = whole.table("windows").to_pylist()
    for row in run.checkpoints():
        own = [w for w in run.table("windows").to_pylist() if w["revision"] == row["revision"]]
        assert own == [w for w in first if w["revision"] == row["revision"]][:count]
        assert (row["loss_se"] > target["loss"]) == ("above the target" in (row["reason"] or ""))
    make_checkpoint(series / "step200", seed=7)
    (run.path / "sample.parquet").write_bytes(b"damaged")
    again = degen.scan(series, corpus=corpus, out=run.path, target_se=target, **SCAN)
    assert again.info["sample"] == run.info["sample"]
    assert [len([w for w in again.table("windows").to_pylist() if w["step"] == s]) for s in (0, 100, 200)] == [
        count
    ] * 3
    with pytest.raises(DegenError, match=r"other settings: (target_se|loss of target_se)"):
        degen.scan(series, corpus=corpus, out=run.path, target_se={"loss": 1.0}, **SCAN)


def test_a_target_that_tokens_do_not_reach_is_said(two: tuple[Path, Path], tmp_path: Path) -> None:
    said = Notes()
    run = degen.scan(two[0], corpus=two[1], out=tmp_path / "run", target_se={"anisotropy": 1e-6}, progress=said, **SCAN)
    assert run.info["sample"]["target_se"]["windows"] > len(run.table("windows")) // 2
    assert any("tokens, more than --tokens allows" in line for line in said.lines)
    for row in run.checkpoints():
        reason = f"anisotropy_se is {row['anisotropy_se']:.2g}, above the target of 1e-06"
        assert row["reason"] == reason
        assert f"tiny@{row['revision']}: {reason}" in said.lines


def test_targets_that_make_no_sense_are_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    def refuse(message: str, **settings: Any) -> None:
        with pytest.raises(DegenError, match=message):
            degen.scan(two[0], corpus=two[1], out=tmp_path / "run", **{**SCAN, **settings})

    refuse("--target-se los: no such metric has a standard error; .*loss", target_se={"los": 0.1})
    refuse("--target-se loss=-1: must be above 0", target_se={"loss": -1.0})
    refuse("windows of --sample are given", target_se={"loss": 0.1}, sample="x.parquet")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("skip_first", [0, 8])
def test_a_pilot_of_all_windows_has_the_errors_of_the_scan(
    skip_first: int, two: tuple[Path, Path], tmp_path: Path
) -> None:
    few = SCAN | {"tokens": 900}  # fewer windows than a pilot has at least
    run = degen.scan(
        two[0], corpus=two[1], out=tmp_path / "run", target_se={"anisotropy": 1e-9}, skip_first=skip_first, **few
    )
    (errors,) = run.info["sample"]["target_se"]["pilot_errors"].values()
    assert errors == {"anisotropy": run.checkpoints()[-1]["anisotropy_se"]}


def test_batches_of_a_pilot_leave_room_for_the_weights_as_those_of_the_scan_do(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms: list[int] = []

    def noted(*arguments: Any) -> int:
        rooms.append(arguments[5])
        return batch_tokens_for(*arguments)

    monkeypatch.setattr("degen.forward.batch_size.batch_tokens_for", noted)
    run = degen.scan(two[0], corpus=two[1], out=tmp_path / "run", target_se={"loss": 0.1}, **SCAN)
    assert rooms == [4 * run.checkpoints()[-1]["parameters"]] * 2  # float32, of the pilot and of the scan
