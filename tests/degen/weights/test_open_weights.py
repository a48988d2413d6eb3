from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faults.spoil import Hostile
from hub_scans import sharded
from safetensors.torch import load_file, save_file
from tiny import make_checkpoint, make_tokenizer

import degen
from degen.checkpoint_formats.registry import open_tensors
from degen.errors import CheckpointError
from degen.weights.checkpoint_files import CheckpointFiles
from degen.weights.open_weights import SafeTensors, weight_files


def opened(folder: Path) -> Any:
    return open_tensors(CheckpointFiles(folder))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("whole") / "model", dtype="bfloat16")


@pytest.fixture(params=["safetensors", "sharded safetensors", "zip", "legacy", "sharded zip"])
def stored(request: pytest.FixtureRequest, whole: Path, tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """Return one model in each way that files keep one: its folder and its tensors."""
    tensors = load_file(whole / "model.safetensors")
    folder = Path(shutil.copytree(whole, tmp_path / "stored"))
    if request.param == "legacy":
        (folder / "model.safetensors").unlink()
        torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    elif request.param != "safetensors":
        sharded(folder, shards=2 if "sharded" in request.param else 1, legacy="zip" in request.param)
    for file in folder.glob("*.bin"):
        assert zipfile.is_zipfile(file) == ("zip" in request.param)
    return folder, tensors


def bytes_of(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


def test_every_tensor_is_read_and_hashed_as_stored(stored: Any) -> None:
    folder, tensors = stored
    digests = opened(folder)
    assert digests.keys == set(tensors)
    for key, tensor in tensors.items():
        assert digests.shape(key) == tuple(tensor.shape)
        assert digests.sha256(key) == hashlib.sha256(bytes_of(tensor)).hexdigest()
        assert b"".join(bytes(piece) for piece in digests.raw(key)) == bytes_of(tensor)
        assert digests.size(key) == tensor.numel() * 2
    assert digests.size(None) == sum(t.numel() * 2 for t in tensors.values())
    assert digests.head_key(tied=False, shape=digests.shape("embed_out.weight")) == "embed_out.weight"
    rows = digests.rows("embed_out.weight", 100, 117)
    assert rows.dtype == torch.bfloat16
    assert torch.equal(rows, tensors["embed_out.weight"][100:117])


def test_every_way_of_storing_gives_the_same_figures(stored: Any, whole: Path, corpus: Path, tmp_path: Path) -> None:
    folder, _ = stored
    make_tokenizer(folder)
    rows = degen.scan(f"m={folder}", corpus=corpus, tokens=200, context=32, out=tmp_path / "out")
    reference = degen.scan(
        f"m={whole}", corpus=corpus, tokens=200, context=32, tokenizer=folder, out=tmp_path / "reference"
    )
    (row,), (expected,) = rows.checkpoints(), reference.checkpoints()
    assert row["status"] == "ok", row["reason"]
    assert row == expected


def test_safetensors_win_over_bin(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "m")
    torch.save({}, tmp_path / "m" / "pytorch_model.bin")
    assert weight_files(tmp_path / "m") == ([tmp_path / "m" / "model.safetensors"], "safetensors")
    assert isinstance(opened(tmp_path / "m"), SafeTensors)


def test_an_index_that_leaves_the_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    save_file({"a": torch.zeros(1)}, tmp_path / "outside.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../outside.safetensors"}}))
    with pytest.raises(CheckpointError, match="lies outside the checkpoint"):
        weight_files(folder)
    index.write_text(json.dumps({"weight_map": {"a": "model-1-of-2.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"model-1-of-2\.safetensors: the index names this shard"):
        weight_files(folder)


@pytest.mark.parametrize("kind", ["pickle", "legacy", "zip"])
def test_a_hostile_pickle_is_never_executed(kind: str, whole: Path, series: Path, corpus: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(whole / "config.json", folder)
    file = folder / "pytorch_model.bin"
    payload = {"embed_out.weight": torch.zeros(416, 32), "x": Hostile(mark)}
    if kind == "pickle":
        file.write_bytes(pickle.dumps(Hostile(mark)))
    else:
        torch.save(payload, file, _use_new_zipfile_serialization=kind == "zip")
    for name, probes in (("head", ["spectrum"]), ("all", None)):
        run = degen.scan(
            folder, corpus=corpus, tokens=64, context=32, tokenizer=series, probes=probes, out=tmp_path / name
        )
        (row,) = run.checkpoints()
        assert row["status"] == "failed"
        assert "not readable as weights alone" in row["reason"]
        assert not mark.exists()
    with file.open("rb") as opened_file:  # it would have been executed
        if kind == "pickle":
            pickle.load(opened_file)  # noqa: S301
        else:
            torch.load(opened_file, weights_only=False)
    assert mark.exists()


def test_an_untied_model_without_its_head_is_not_measured_by_its_embedding(whole: Path, tmp_path: Path) -> None:
    """The input embedding has the head's shape; it is not the head."""
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(whole / "config.json", folder)
    tensors = load_file(whole / "model.safetensors")
    del tensors["embed_out.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    run = degen.scan(folder, probes=["spectrum"], out=tmp_path / "run")
    (row,) = run.checkpoints()
    assert row["status"] == "failed", row["singular_entropy"]
    assert "the files do not hold" in row["reason"]


def test_a_head_of_a_name_nobody_knows_is_found_by_loading_the_model(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = degen.scan(whole, probes=["spectrum"], out=tmp_path / "known")
    monkeypatch.setattr("degen.weights.stored_tensors.HEAD_KEYS", ())
    other = degen.scan(whole, probes=["spectrum"], out=tmp_path / "unknown")
    (known,), (unknown,) = run.checkpoints(), other.checkpoints()
    assert unknown["status"] == "ok"
    assert unknown["singular_entropy"] == pytest.approx(known["singular_entropy"], abs=1e-12)


def test_rows_are_read_by_slices_of_the_file(whole: Path) -> None:
    tensors = opened(whole)
    full = load_file(whole / "model.safetensors")["embed_out.weight"]
    pieces = [tensors.rows("embed_out.weight", i, min(i + 50, 416)) for i in range(0, 416, 50)]
    assert np.array_equal(torch.cat(pieces).float().numpy(), full.float().numpy())
