"""The files of a checkpoint on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

WEIGHT_PATTERNS = ("*.safetensors", "*.bin", "*.safetensors.index.json", "*.bin.index.json")


@dataclass(frozen=True)
class CheckpointFiles:
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


def newest_change(files: Iterable[Path]) -> str | None:
    """Return the newest modification time of some files, as `modified` and ns; None where none of them exists."""
    try:
        return f"modified {max(f.stat().st_mtime_ns for f in files if f.is_file())}"
    except (OSError, ValueError):
        return None
