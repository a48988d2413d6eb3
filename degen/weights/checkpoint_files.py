"""The files of a checkpoint on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

WEIGHT_PATTERNS = ("*.safetensors", "*.bin", "*.safetensors.index.json", "*.bin.index.json")


@dataclass(frozen=True)
class Files:
    """A checkpoint's files on this machine.

    Attributes:
        path: a folder with `config.json` and weights, or a `.gguf` file.
        adapter: a folder with an adapter for those weights; None for most.
        whole: whether every tensor is there, or the head alone.
    """

    path: Path
    adapter: Path | None = None
    whole: bool = True

    @property
    def is_gguf(self) -> bool:
        """Whether they are one GGUF file."""
        return self.path.suffix == ".gguf"
