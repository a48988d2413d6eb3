"""Shards of a scan: which checkpoints each measures, and one run out of several.

The recipe for Slurm in the documents runs two as processes at once; see tests/docs.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from faults.command import degen as command
from hub_scans import Scans, revisions
from hypothesis import given
from hypothesis import strategies as st
from run_parts import assert_equal

import degen
from degen.checkpoints.local import LocalSource
from degen.checkpoints.series import Checkpoint
from degen.errors import DegenError, RunFolderError
from degen.runs.run import read_run
from degen.runs.run_writer import open_run
from degen.scanning.dry_run import estimate_costs
from degen.scanning.progress import Progress
from degen.scanning.settings import make_settings
from degen.scanning.shards import Shard, identity, parse_shard

OPTIONS: dict[str, Any] = {"tokens": 512, "context": 32, "threads": 1}
ASKED: dict[str, Any] = {"series": [], "corpus": "demo", "tokens": 16, "context": 16, "seed": 0}
WORDS = ("--tokens", "512", "--context", "32", "--threads", "1")


@pytest.fixture(scope="module")
def with_copy(series: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the series with two checkpoints more, the last a copy of the first; not to be written to."""
    folder = tmp_path_factory.mktemp("with_copy") / "tiny"
    shutil.copytree(series, folder)
    shutil.copytree(series / "step0", folder / "step2000")
    return folder


@pytest.fixture(scope="module")
def local(with_copy: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> degen.Run:
    """Return the run of one process alone; not to be written to."""
    return degen.scan(with_copy, corpus=corpus, out=tmp_path_factory.mktemp("local") / "run", **OPTIONS)


def test_four_shards_in_any_order_with_one_run_twice_give_the_tables_of_one_scan(
    local: degen.Run, with_copy: Path, corpus: Path, tmp_path: Path
) -> None:
    for shard in ("3/4", "1/4", "4/4", "1/4", "2/4"):
        run = degen.scan(with_copy, corpus=corpus, out=tmp_path / "run", shard=shard, **OPTIONS)
    assert_equal(run, local)
    assert run.missing == {}
    assert [row["duplicate_of"] for row in run.checkpoints()] == [None, None, None, "step0"]
    assert not list(run.path.glob(".downloads"))
    assert degen.scan(with_copy, corpus=corpus, out=tmp_path / "run", **OPTIONS).info == run.info  # nothing was left


def test_a_dry_run_of_shards_counts_each_checkpoint_once(with_copy: Path, corpus: Path) -> None:
    settings = make_settings(with_copy, corpus=corpus, **OPTIONS)
    parts = [estimate_costs(settings, shard=Shard(index, 3)) for index in (1, 2, 3)]
    whole = estimate_costs(settings)
    assert len(whole) == 4
    assert sorted((row for part in parts for row in part), key=lambda row: row["step"]) == whole


class During(Progress):
    """Calls a function once, when a phase or a checkpoint begins."""

    def __init__(self, moment: str, call: Any) -> None:
        self.moment, self.call = moment, call
        self.lines: list[str] = []

    def _now(self, moment: str) -> None:
        if moment == self.moment:
            self.moment = ""
            self.call()

    def start_phase(self, name: str) -> None:
        self._now(name)

    def start_checkpoint(self, checkpoint: Checkpoint, tokens: int) -> None:
        self._now(checkpoint.revision)

    def finish_checkpoint(self, checkpoint: Checkpoint, status: str, summary: str) -> None:
        self.lines.append(f"{checkpoint.revision} {status} {summary}".strip())


def scan_shard(series: Path, corpus: Path, out: Path, shard: str, progress: Progress | None = None) -> degen.Run:
    return degen.scan(series, corpus=corpus, out=out, shard=shard, progress=progress, **OPTIONS)


def test_run_that_another_shard_makes_meanwhile_is_gone_on_with(
    local: degen.Run, with_copy: Path, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    progress = During("tokenising text", lambda: scan_shard(with_copy, corpus, out, "2/2"))
    assert_equal(scan_shard(with_copy, corpus, out, "1/2", progress), local)


def test_run_that_another_shard_makes_meanwhile_with_other_settings_ends_in_a_message(
    series: Path, corpus: Path, tmp_path: Path
) -> None:
    def other() -> None:
        degen.scan(series, corpus=corpus, out=tmp_path / "run", shard="2/2", **OPTIONS | {"tokens": 600})

    with pytest.raises(RunFolderError, match="was scanned with other settings: tokens 600 \\(now 512\\)"):
        scan_shard(series, corpus, tmp_path / "run", "1/2", During("tokenising text", other))
    assert read_run(tmp_path / "run").info["asked"]["tokens"] == 600


def test_shard_that_runs_twice_at_once_measures_the_rest_once(
    local: degen.Run, with_copy: Path, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    progress = During("step0", lambda: scan_shard(with_copy, corpus, out, "1/1"))
    assert_equal(scan_shard(with_copy, corpus, out, "1/1", progress), local)
    meanwhile = "ok measured by another process meanwhile"
    assert progress.lines == ["step0 ok", f"step100 {meanwhile}", f"step1000 {meanwhile}", "step2000 duplicate"]


def test_other_threads_are_no_other_settings(run_copy: Path, series: Path, corpus: Path) -> None:
    run = degen.scan(series, corpus=corpus, out=run_copy, shard="1/1", **OPTIONS | {"threads": 2})
    assert run.info["threads"] == 1  # as the process that made the run


def test_shards_share_a_folder_and_a_whole_scan_does_not(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with open_run(out, ASKED, False, shared=True) as first, open_run(out, ASKED, False, shared=True):
        unfinished = out / ".0123456789abcdef.partial"
        unfinished.touch()
        with pytest.raises(RunFolderError, match="another scan is at work in it"), open_run(out, ASKED, False):
            pass
        with open_run(out, ASKED, False, shared=True):
            assert unfinished.exists()  # another may be writing it
        assert first.create_info()
        assert not first.create_info()
    with open_run(out, ASKED, False):
        assert not unfinished.exists()
        with pytest.raises(RunFolderError, match="only shards share"), open_run(out, ASKED, False, shared=True):
            pass


def test_info_keeps_what_other_processes_added(tmp_path: Path) -> None:
    with open_run(tmp_path, ASKED, False, shared=True) as one:
        one.info |= {"batch_tokens": {}, "planned": {"m": ["a"]}, "versions": {"torch": "1"}, "models": ["m"]}
        one.create_info()
        with open_run(tmp_path, ASKED, False, shared=True) as two:
            two.info["batch_tokens"]["m@b"] = 64
            two.info |= {"planned": {"m": ["a", "b"]}, "versions": {"torch": "2"}, "models": ["m", "n"]}
            two.save_info()
        one.info["batch_tokens"]["m@a"] = 32
        one.save_info()
    info = json.loads((tmp_path / "run.json").read_text())
    assert info["batch_tokens"] == {"m@a": 32, "m@b": 64}
    assert info["planned"] == {"m": ["a", "b"]}
    assert info["versions"] == {"torch": "1"}
    assert info["models"] == ["m", "n"]


def test_info_loses_what_this_process_takes_back(tmp_path: Path) -> None:
    """As the size of a batch that a checkpoint failed with, while another process adds one of its own."""
    with open_run(tmp_path, ASKED, False, shared=True) as one:
        one.info["batch_tokens"] = {"m@a": 64}
        one.create_info()
        with open_run(tmp_path, ASKED, False, shared=True) as two:
            one.info["batch_tokens"]["m@b"] = 32
            one.save_info()
            two.info["batch_tokens"]["m@c"] = 16
            two.save_info()
            one.info["batch_tokens"] = {"m@a": 64}
            one.save_info()
            two.save_info()
    assert json.loads((tmp_path / "run.json").read_text())["batch_tokens"] == {"m@a": 64, "m@c": 16}


def test_shard_without_a_checkpoint_makes_the_run_and_says_what_is_missing(
    series: Path, corpus: Path, tmp_path: Path
) -> None:
    counts = [len(members(series, Shard(index, 9))) for index in range(1, 10)]
    assert sorted(counts, reverse=True)[:1] < [4]
    empty, first = counts.index(0) + 1, next(i for i, count in enumerate(counts, 1) if count)
    words = ("scan", str(series), "--corpus", str(corpus), "-o", str(tmp_path / "run"), *WORDS, "--shard")
    made = command(*words, f"{empty}/9")
    assert made.code == 0
    assert made.out.strip() == "missing: tiny: 3 of 3 not measured yet (step0, step100, step1000)"
    assert json.loads(command(*words, f"{empty}/9", "--json").out)["rows"] == []
    command(*words, f"{first}/9")
    shown = command("show", str(tmp_path / "run")).out
    assert f"missing: tiny: {3 - counts[first - 1]} of 3 not measured yet" in shown


def members(series: Path, shard: Shard) -> set[str]:
    found = [Checkpoint("tiny", f.name, 1, None, LocalSource(f)) for f in sorted(series.glob("step*"))]
    return {c.revision for c in shard.members(found, trust=False)}


@given(count=st.integers(1, 40), names=st.sets(st.text("0123456789", min_size=1), max_size=30), data=st.data())
def test_every_checkpoint_is_in_one_shard_and_stays_there_when_the_series_grows(
    count: int, names: set[str], data: st.DataObject
) -> None:
    nowhere = LocalSource(Path("/nowhere"))
    all_of_them = [Checkpoint("m", name, None, None, nowhere) for name in sorted(names)]
    before = data.draw(st.sets(st.sampled_from(all_of_them))) if all_of_them else set()
    shards = [Shard(index, count).members(all_of_them, trust=False) for index in range(1, count + 1)]
    assert sorted(str(c) for shard in shards for c in shard) == sorted(map(str, all_of_them))
    for index, shard in enumerate(shards, 1):
        assert Shard(index, count).members(before, trust=False) == shard & before


def test_copies_have_one_identity(with_copy: Path, scans: Scans) -> None:
    scans.add("org/tiny", revisions(with_copy))
    on_hub = {c.revision: identity(c, trust=False) for c in scans.find("org/tiny@step*").checkpoints}
    here = {c.revision: identity(c, trust=False) for c in scans.find(str(with_copy)).checkpoints}
    for identities in (on_hub, here):
        assert identities["step0"] == identities["step2000"]
        assert len(set(identities.values())) == 3


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "-1/4", "1/4/4", "a/b", "1/99999999", "٣/٤"])
def test_text_that_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(DegenError, match=r"^--shard .*: must be I/N with I from 1 to N, as in 3/16$"):
        parse_shard(text)


def test_shard_does_not_start_over(series: Path, tmp_path: Path) -> None:
    with pytest.raises(DegenError, match="--fresh: shards share their folder"):
        degen.scan(series, out=tmp_path / "run", shard="1/2", fresh=True)
