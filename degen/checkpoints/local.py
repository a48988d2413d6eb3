"""Checkpoints of the user's own files: a checkpoint folder, or a GGUF file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from degen.weights.checkpoint_files import WEIGHT_PATTERNS, CheckpointFiles, files_version

from .source import Source

if TYPE_CHECKING:
    from degen.weights.stored_tensors import StoredTensors

    from .downloads import Downloads


@dataclass(frozen=True)
class LocalSource(Source):
    """A checkpoint folder or a `.gguf` file of the user's own."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def version(self) -> str | None:
        """Return a text of name, size and time of configuration and weights; None without weights."""
        if self.path.suffix == ".gguf":
            return files_version([self.path])
        weights = [file for pattern in WEIGHT_PATTERNS for file in self.path.glob(pattern)]
        return files_version([*weights, self.path / "config.json", *self.path.glob("*.py")]) if weights else None

    def config(self) -> Path:
        """Return the folder or file itself."""
        return self.path

    def tokenizer(self) -> Path | None:
        """Return the folder or file itself, if it has a tokenizer."""
        from degen.text.tokenizer import has_tokenizer

        return self.path if has_tokenizer(self.path) else None

    def tensors(self) -> StoredTensors:
        """Return the tensors of its files."""
        from degen.weights.open_weights import open_tensors

        return open_tensors(CheckpointFiles(self.path))

    def fetch(self, downloads: Downloads, whole: bool) -> CheckpointFiles:
        """Return the files where they are; nothing is downloaded."""
        return CheckpointFiles(self.path)
