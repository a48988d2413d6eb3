"""A series in the formats of training, cut by SIGKILL and continued, equals an uncut one and save_pretrained's."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
from faults.warm import warm_server
from tiny import make_checkpoint, make_model, make_tokenizer
from torch.distributed import checkpoint as dcp

from degen import read_run

STEPS = (1, 2, 3)


def contents(run: Path) -> dict[str, bytes]:
    """Return every part of a run but the table `timing`."""
    parts = {str(p.relative_to(run)): p.read_bytes() for p in sorted(run.rglob("*.parquet"))}
    return {name: data for name, data in parts.items() if not name.startswith("timing")}


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_a_series_cut_by_sigkill_and_continued(corpus: Path, tmp_path: Path) -> None:
    mixed, saved = make_tokenizer(tmp_path / "mixed"), make_tokenizer(tmp_path / "saved")
    for step in STEPS:
        make_checkpoint(saved / f"step{step}", "llama", seed=step)
        state = make_model("llama", seed=step).state_dict()
        if step == 2:
            dcp.save({"model": state}, checkpoint_id=mixed / f"step{step}", no_dist=True)
        else:
            torch.save({"state_dict": {f"model.{k}": v for k, v in state.items()}}, mixed / f"step{step}.ckpt")
    settings = ("--corpus", corpus, "--tokens", 256, "--context", 32, "--threads", 1, "--model-config", saved / "step1")
    scan = ("scan", f"m={mixed}", *settings)
    warm = warm_server()
    log = tmp_path / "log"
    assert warm.run((*scan, "--out", tmp_path / "uncut"), log) == 0, log.read_text()
    assert warm.run(("scan", f"m={saved}", *settings, "--out", tmp_path / "reference"), log) == 0, log.read_text()
    for step in STEPS[:2]:
        begun = tmp_path / "cut" / "checkpoints" / "m" / f"step{step}.parquet"
        code = warm.cut((*scan, "--out", tmp_path / "cut"), log, signal.SIGKILL, begun, 0)
        assert code in (-signal.SIGKILL, 0), log.read_text()
    assert warm.run((*scan, "--out", tmp_path / "cut"), log) == 0, log.read_text()
    assert contents(tmp_path / "cut") == contents(tmp_path / "uncut")
    runs = [read_run(tmp_path / name) for name in ("uncut", "reference")]
    for table in ("checkpoints", "layers", "windows", "spectrum"):
        rows = [run.table(table).to_pylist() for run in runs]
        assert rows[0] == rows[1], table
