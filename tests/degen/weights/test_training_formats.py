"""Checkpoints of training libraries are named for what they are, wherever they would have been read."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.command import degen

FILES = {
    "DeepSpeed": ["zero_to_fp32.py", "latest", "global_step100/mp_rank_00_model_states.pt"],
    "Megatron-LM": ["latest_checkpointed_iteration.txt", "iter_0000100/mp_rank_00/model_optim_rng.pt"],
    "litgpt": ["final/lit_model.pth", "final/model_config.yaml"],
    "Orbax": ["100/_CHECKPOINT_METADATA", "100/params/array"],
    "Flax": ["flax_model.msgpack"],
    "TensorFlow": ["tf_model.h5"],
    "ONNX": ["onnx/model.onnx"],
    "MLX": ["weights.npz"],
}


def make(folder: Path, names: list[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\0")
    return folder


def reason(path: Path) -> str:
    """Return why a scan of a path cannot be made, as a message or as the reason of its one checkpoint."""
    result = degen("scan", path, "--dry-run", "--json")
    return result.message if result.code == 2 else str(result.json()["rows"][0]["reason"])


@pytest.mark.parametrize("library", FILES)
def test_a_folder_is_named_for_what_it_is(library: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "run", FILES[library])
    assert library in reason(folder)
    inner = {Path(name).parent for name in FILES[library]} - {Path(), Path("onnx"), Path("100/params")}
    assert all(library in reason(folder / Path(name).parts[0]) for name in inner)


def test_a_file_is_named_for_what_it_is(tmp_path: Path) -> None:
    make(tmp_path, ["lit_model.pth"])
    message = degen("scan", tmp_path / "lit_model.pth", "--dry-run").message
    assert "litgpt convert_from_litgpt FOLDER OUT" in message


def test_an_unknown_folder_is_called_nothing(tmp_path: Path) -> None:
    assert "it is " not in degen("scan", make(tmp_path / "run", ["notes.txt"]), "--dry-run").message
