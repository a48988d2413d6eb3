"""Probes and checkpoints named later are measured into a run; what it had is neither measured again nor lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from degen.probes.anisotropy import Anisotropy
from degen.probes.loss import Loss
from degen.probes.rank import Rank
from degen.probes.spectrum import Spectrum
from tiny import make_series

import degen
from degen import DegenError
from degen.scanning.dry_run import estimate_costs
from degen.scanning.settings import make_settings

SCAN = {"tokens": 256, "context": 32, "threads": 1, "batch_size": 4}


def tables(run: degen.Run) -> dict[str, Any]:
    """Every part of a run with its schema and notes, but for times and memory."""
    parts = {}
    for file in sorted(run.path.glob("*/*/*.parquet")):
        table = pq.ParquetFile(file).read()
        rows = table.to_pylist()
        for row in rows:
            row.pop("seconds", None), row.pop("peak_rss", None)
        parts[str(file.relative_to(run.path))] = (sorted(map(str, rows)), table.schema.metadata)
    return parts


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("measured again")


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (("loss",), ("anisotropy", "spectrum")),
        (("spectrum",), ("loss", "anisotropy")),
        (("anisotropy", "spectrum"), ("loss",)),
        (("loss", "spectrum"), None),
    ],
)
def test_a_run_that_got_a_probe_later_is_that_of_all_at_once(
    first: tuple[str, ...], then: tuple[str, ...] | None, series: Path, corpus: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    names = None if then is None else (*first, *then)
    whole = degen.scan(series, corpus=corpus, out=tmp_path / "whole", probes=names, **SCAN)
    degen.scan(series, corpus=corpus, out=tmp_path / "run", probes=first, **SCAN)
    for name, probe, method in (
        ("loss", Loss, "update_losses"), ("anisotropy", Anisotropy, "update_states"), ("spectrum", Spectrum, "measure")
    ):  # fmt: skip
        if name in first:
            monkeypatch.setattr(probe, method, refuse)
    run = degen.scan(series, corpus=corpus, out=tmp_path / "run", probes=then, **SCAN)
    assert tables(run) == tables(whole)
    assert run.info["resolved"] == whole.info["resolved"]
    assert run.info["config_hash"] == whole.info["config_hash"]
    before = {file: file.stat().st_mtime_ns for file in run.path.rglob("*.parquet")}
    degen.scan(series, corpus=corpus, out=tmp_path / "run", probes=then, **SCAN)
    assert before == {file: file.stat().st_mtime_ns for file in run.path.rglob("*.parquet")}


def test_options_come_with_an_added_probe_and_those_of_others_stay(series: Path, corpus: Path, tmp_path: Path) -> None:
    rank = {"rank": {"ranks": [2], "methods": ["svd"]}}
    degen.scan(series, corpus=corpus, out=tmp_path / "run", probes="loss", **SCAN)
    run = degen.scan(series, corpus=corpus, out=tmp_path / "run", probes="rank", options=rank, **SCAN)
    assert run.info["asked"]["probes"] == ["loss", "rank"]
    assert all(row["loss"] is not None for row in run.checkpoints())
    again = degen.scan(series, corpus=corpus, out=tmp_path / "run", probes=("loss", "rank"), options=rank, **SCAN)
    assert again.info == run.info
    with pytest.raises(DegenError, match=r"other settings: ranks of rank 2 \(now 3\)"):
        degen.scan(
            series,
            corpus=corpus,
            out=tmp_path / "run",
            probes="rank",
            options={"rank": rank["rank"] | {"ranks": [3]}},
            **SCAN,
        )
    fewer = degen.scan(series, corpus=corpus, out=tmp_path / "run", probes="loss", **SCAN)
    assert fewer.info == run.info


def test_an_addition_that_was_cut_off_goes_on(
    series: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("anisotropy", "loss", "spectrum")
    whole = degen.scan(series, corpus=corpus, out=tmp_path / "whole", probes=names, **SCAN)
    degen.scan(series, corpus=corpus, out=tmp_path / "run", probes=("loss", "spectrum"), **SCAN)
    begin, calls = Anisotropy.update_states, []

    def cut(self: Anisotropy, *args: Any) -> None:
        calls.append(args)
        if len(calls) > 15:  # within the second checkpoint
            raise KeyboardInterrupt
        begin(self, *args)

    monkeypatch.setattr(Anisotropy, "update_states", cut)
    with pytest.raises(KeyboardInterrupt):
        degen.scan(series, corpus=corpus, out=tmp_path / "run", probes="anisotropy", **SCAN)
    monkeypatch.setattr(Anisotropy, "update_states", begin)
    monkeypatch.setattr(Loss, "update_losses", refuse)
    run = degen.scan(series, corpus=corpus, out=tmp_path / "run", probes="anisotropy", **SCAN)
    assert tables(run) == tables(whole)


def test_a_checkpoint_on_which_an_added_probe_fails_keeps_what_it_had(
    series: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rank: Any = {"probes": ("loss", "rank"), "options": {"rank": {"ranks": [2], "methods": ["svd"]}}}
    whole = degen.scan(series, corpus=corpus, out=tmp_path / "whole", **rank, **SCAN)
    before = degen.scan(series, corpus=corpus, out=tmp_path / "run", probes="loss", **SCAN)
    losses = [row["loss"] for row in before.checkpoints()]
    finish, done = Rank.finish, []

    def fail_second(self: Rank) -> Any:
        done.append(self)
        if len(done) == 2:
            raise torch.linalg.LinAlgError("did not converge")
        return finish(self)

    monkeypatch.setattr(Rank, "finish", fail_second)
    with pytest.raises(
        DegenError, match=r"of 1 checkpoint the .* tiny@step100: .*did not converge.* tries again"
    ) as error:
        degen.scan(series, corpus=corpus, out=tmp_path / "run", **rank, **SCAN)
    assert error.value.exit_code == 4
    rows = degen.read_run(tmp_path / "run").checkpoints()
    assert [row["loss"] for row in rows] == losses
    ranks = degen.read_run(tmp_path / "run").table("ranks")["revision"].to_pylist()
    assert ranks == ["step0", "step1000"]
    rows = degen.scan(series, corpus=corpus, out=tmp_path / "run", **rank, **SCAN).checkpoints()
    assert [row["loss"] for row in rows] == losses
    assert degen.read_run(tmp_path / "run").table("ranks").equals(whole.table("ranks"))


def test_checkpoints_that_a_shell_finds_later_are_added(series: Path, corpus: Path, tmp_path: Path) -> None:
    def scan(*steps: int) -> degen.Run:
        return degen.scan([series / f"step{step}" for step in steps], corpus=corpus, out=tmp_path / "run", **SCAN)

    before = scan(0, 100)
    times = {file: file.stat().st_mtime_ns for file in before.path.glob("*/*/*.parquet")}
    after = scan(0, 100, 1000)
    assert [row["step"] for row in after.checkpoints()] == [0, 100, 1000]
    assert {row["model"] for row in after.checkpoints()} == {"tiny"}
    assert times == {file: file.stat().st_mtime_ns for file in times}
    with pytest.raises(DegenError, match="other settings: series"):
        scan(0, 1000)


def test_a_run_of_heads_alone_takes_any_text(corpus: Path, tmp_path: Path) -> None:
    series = make_series(tmp_path / "short", (0, 100), family="gpt2", n_positions=24)
    degen.scan(series, probes="spectrum", out=tmp_path / "run", threads=1)
    text: Any = {"corpus": corpus, "tokens": 256, "threads": 1}
    run = degen.scan(series, probes=("loss", "anisotropy"), out=tmp_path / "run", **text)
    assert run.info["asked"]["context"] == 24
    names = ("anisotropy", "loss", "spectrum")
    assert tables(run) == tables(degen.scan(series, probes=names, out=tmp_path / "whole", **text))
    with pytest.raises(DegenError, match="other settings: tokens 256"):
        degen.scan(series, out=tmp_path / "run", **text | {"tokens": 300})


def test_a_thinned_scan_is_filled_in_and_a_dry_run_prices_what_is_left(
    series: Path, corpus: Path, tmp_path: Path
) -> None:
    degen.scan(series, corpus=corpus, out=tmp_path / "run", steps="0,1000", **SCAN)
    settings = make_settings(series, corpus=corpus, **SCAN)
    costs = estimate_costs(settings, out=tmp_path / "run")
    assert [cost["bytes"] == 0 for cost in costs] == [True, False, True]
    assert [cost["flops"] == 0 for cost in costs] == [True, False, True]
    run = degen.scan(series, corpus=corpus, out=tmp_path / "run", **SCAN)
    assert [row["step"] for row in run.checkpoints()] == [0, 100, 1000]


def test_copies_get_the_rows_of_an_added_probe_too(corpus: Path, tmp_path: Path) -> None:
    series = make_series(tmp_path / "tiny", (0, 100))
    shutil.copytree(series / "step100", series / "step200")
    degen.scan(series, corpus=corpus, out=tmp_path / "run", probes="spectrum", **SCAN)
    run = degen.scan(series, corpus=corpus, out=tmp_path / "run", **SCAN)
    assert [row["status"] for row in run.checkpoints()] == ["ok", "ok", "duplicate"]
    assert tables(run) == tables(degen.scan(series, corpus=corpus, out=tmp_path / "whole", **SCAN))
