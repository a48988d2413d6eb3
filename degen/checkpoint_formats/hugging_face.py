"""Folders as `save_pretrained` writes them: safetensors before legacy `.bin`, whole or sharded."""

from __future__ import annotations

from pathlib import Path

from degen.errors import CheckpointError
from degen.paths import is_file
from degen.weights.checkpoint_files import WEIGHT_PATTERNS
from degen.weights.open_weights import SafeTensors, read_bin, weight_files
from degen.weights.stored_tensors import StoredTensors

from .checkpoint_format import CheckpointFormat

_NAMES = tuple(f"{name}{end}" for name in ("model.safetensors", "pytorch_model.bin") for end in ("", ".index.json"))


class HuggingFaceFolder(CheckpointFormat):
    """A folder of safetensors or legacy `.bin`, with or without a configuration."""

    def matches(self, path: Path) -> bool:
        """Return whether it is a folder with weights, or with an index of them."""
        try:
            return any(is_file(path / name) for name in _NAMES)
        except CheckpointError:
            return False

    def files(self, path: Path) -> list[Path]:
        """Return the weight files and indices."""
        return [file for pattern in WEIGHT_PATTERNS for file in path.glob(pattern)]

    def files_to_load(self, path: Path) -> list[Path]:
        """Return the weight files, or those that the index names: others may hold the same weights once more."""
        return weight_files(path)[0]

    def open(self, path: Path) -> StoredTensors:
        """Return the tensors under the names that they are stored by."""
        shards, kind = weight_files(path)
        return SafeTensors(shards) if kind == "safetensors" else read_bin(shards)
