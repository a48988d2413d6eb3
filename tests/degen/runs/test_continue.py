"""A run that is continued: nothing measured is lost, and nothing is mixed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hub_scans import packed
from safetensors.torch import load_file, save_file
from tiny import make_corpus, make_series

import degen
from degen import DegenError

SMALL: dict[str, Any] = {"tokens": 300, "context": 48}


@pytest.fixture
def scanned(tmp_path: Path, corpus: Path) -> tuple[Path, Path, Path]:
    """Make a series, its corpus and its run."""
    series, text = make_series(tmp_path / "mine", steps=(1, 2)), tmp_path / "text.jsonl"
    shutil.copy(corpus, text)
    degen.scan(series, corpus=text, out=tmp_path / "run", **SMALL)
    return series, text, tmp_path / "run"


def age_run(run: Path) -> None:
    """Make a run one that was written before training FLOPs were columns of its table."""
    for part in run.rglob("[!.]*.parquet"):
        table = pq.read_table(part, partitioning=None)
        columns = [name for name in table.column_names if name not in ("flops_per_token", "training_flops")]
        notes = {**table.schema.metadata, b"degen.schema_version": b"1"}
        pq.write_table(table.select(columns).replace_schema_metadata(notes), part)
    info = json.loads((run / "run.json").read_text())
    info["schema_version"] = 1
    info["resolved"]["columns"] = "of an earlier version"
    (run / "run.json").write_text(json.dumps(info))


def test_a_run_of_an_earlier_schema_is_read_and_not_continued(scanned: tuple[Path, Path, Path]) -> None:
    series, text, out = scanned
    losses = degen.read_run(out).table("checkpoints")["loss"]
    age_run(out)
    run = degen.read_run(out)
    assert run.table("checkpoints")["loss"].equals(losses)
    assert "training_flops" not in run.table("checkpoints").column_names
    shutil.copytree(series / "step2", series / "step3")
    before = packed(out)
    with pytest.raises(DegenError, match=r"other columns than this degen writes \(schema version 1\); .*--fresh"):
        degen.scan(series, corpus=text, out=out, **SMALL)
    assert packed(out) == before
    assert (
        "training_flops"
        in degen.scan(series, corpus=text, out=out, fresh=True, **SMALL).table("checkpoints").column_names
    )


@pytest.mark.parametrize(
    "wrong", [{"corpus": "nope.jsonl"}, {"device": "nosuch"}, {"tokenizer": "/nowhere/tok"}, {"sample": "nope.parquet"}]
)
def test_fresh_with_bad_input_empties_nothing(scanned: tuple[Path, Path, Path], wrong: dict[str, str]) -> None:
    series, text, out = scanned
    before = packed(out)
    with pytest.raises(DegenError):
        degen.scan(series, out=out, fresh=True, **SMALL | {"corpus": text} | wrong)
    assert packed(out) == before


def test_fresh_may_take_its_own_sample(scanned: tuple[Path, Path, Path]) -> None:
    series, text, out = scanned
    sample, losses = pq.read_table(out / "sample.parquet"), degen.read_run(out).table("checkpoints")["loss"]
    run = degen.scan(series, out=out, fresh=True, sample=out / "sample.parquet", corpus=text, **SMALL)
    assert pq.read_table(out / "sample.parquet").equals(sample)
    assert run.table("checkpoints")["loss"].equals(losses)


def test_other_windows_in_the_same_run_are_refused(scanned: tuple[Path, Path, Path], tmp_path: Path) -> None:
    series, text, out = scanned
    (out / "checkpoints" / "mine" / "step2.parquet").unlink()
    sample = (out / "sample.parquet").read_bytes()
    make_corpus(text, 9)
    (out / "sample.parquet").unlink()
    with pytest.raises(DegenError, match="other windows"):
        degen.scan(series, corpus=text, out=out, **SMALL)
    degen.scan(series, corpus=text, out=tmp_path / "other", **SMALL)
    shutil.copy(tmp_path / "other" / "sample.parquet", out)
    with pytest.raises(DegenError, match="other windows"):
        degen.scan(series, corpus=text, out=out, **SMALL)
    (out / "sample.parquet").write_bytes(sample)  # as the message says
    assert not degen.scan(series, corpus=text, out=out, **SMALL).failed


def test_a_probe_that_became_a_default_meanwhile_is_refused(
    scanned: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    series, text, out = scanned
    (out / "checkpoints" / "mine" / "step2.parquet").unlink()
    from degen.probes.loss import Loss

    monkeypatch.setattr(Loss, "default", False)
    with pytest.raises(DegenError, match="probes would be"):
        degen.scan(series, corpus=text, out=out, **SMALL)


def test_checkpoints_whose_weights_were_deleted_after_the_scan_stay_measured(scanned: tuple[Path, Path, Path]) -> None:
    series, text, out = scanned
    before = packed(out)
    (series / "step1" / "model.safetensors").unlink()
    (series / "step1" / "README.md").write_text("weights deleted to save space")
    degen.scan(series, corpus=text, out=out, **SMALL)
    assert packed(out) == before


def test_a_part_that_was_deleted_is_measured_again(scanned: tuple[Path, Path, Path]) -> None:
    series, text, out = scanned
    before = {name: content for name, content in packed(out).items() if not name.startswith("timing")}
    shutil.rmtree(out / "layers")
    degen.scan(series, corpus=text, out=out, **SMALL)
    assert {name: content for name, content in packed(out).items() if not name.startswith("timing")} == before


def test_a_copy_is_measured_anew_with_its_original(tmp_path: Path, corpus: Path) -> None:
    series = make_series(tmp_path / "mine", steps=(1,))
    shutil.copytree(series / "step1", series / "step2")
    config = series / "step2" / "config.json"
    config.write_text(config.read_text().replace('"transformers_version": "', '"transformers_version": "0.'))
    run = degen.scan(series, corpus=corpus, out=tmp_path / "run", **SMALL)
    assert [row["status"] for row in run.checkpoints()] == ["ok", "duplicate"]
    weights = series / "step1" / "model.safetensors"
    tensors = {name: tensor * 1.5 for name, tensor in load_file(weights).items()}
    save_file(tensors, weights, metadata={"format": "pt"})
    os.utime(weights, ns=(1, 2**61))
    first, second = degen.scan(series, corpus=corpus, out=tmp_path / "run", **SMALL).checkpoints()
    assert (first["status"], second["status"], second["duplicate_of"]) == ("ok", "ok", None)
    assert first["head_sha256"] != second["head_sha256"]


def test_a_failed_checkpoint_has_a_reason_and_its_size(tmp_path: Path, corpus: Path) -> None:
    series = make_series(tmp_path / "mine", steps=(1,))
    weights = series / "step1" / "model.safetensors"
    tensors = load_file(weights)
    name = next(n for n in tensors if n.endswith("dense_h_to_4h.weight"))
    tensors[name][0, 0] = float("nan")
    save_file(tensors, weights, metadata={"format": "pt"})
    (row,) = degen.scan(series, corpus=corpus, out=tmp_path / "run", **SMALL).failed
    assert name in row["reason"]
    assert row["parameters"] > 0
    assert row["loss"] is row["singular_entropy"] is None
