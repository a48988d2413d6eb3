"""Checkpoints of the user's own files: a checkpoint folder, or a file of weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from degen.checkpoint_formats.registry import find_format
from degen.errors import CheckpointError
from degen.paths import is_file
from degen.weights.checkpoint_files import CheckpointFiles, files_version

from .source import Source

if TYPE_CHECKING:
    from degen.weights.stored_tensors import StoredTensors

    from .downloads import Downloads


@dataclass(frozen=True)
class LocalSource(Source):
    """A checkpoint folder or a file of weights of the user's own.

    Attributes:
        path: the folder or file.
        model_config: a folder with a configuration for weights that have none; None without.
    """

    path: Path
    model_config: Path | None = None

    def __str__(self) -> str:
        return str(self.path)

    def version(self) -> str | None:
        """Return a text of name, size and time of configuration and weights; None without weights."""
        known = find_format(self.path)
        weights = known.files(self.path) if known is not None else []
        if self.path.suffix == ".gguf":
            return files_version(weights)
        config = self.config()
        beside = [config / "config.json", *config.glob("*.py")] if config.is_dir() else []
        return files_version([*weights, *beside]) if weights else None

    def config(self) -> Path:
        """Return the folder or file with the configuration: its own, or else that which the user named for it."""
        return self._config_elsewhere() or self.path

    def _config_elsewhere(self) -> Path | None:
        """Return the folder with the configuration where it is not in `path`; None where it is, or is nowhere."""
        if self.path.suffix == ".gguf":
            return None
        try:
            folder = self.path if self.path.is_dir() else self.path.parent
            if is_file(folder / "config.json"):
                return folder if folder != self.path else None
        except CheckpointError:
            return None  # it is there, and fails as one
        return self.model_config

    def tokenizer(self) -> Path | None:
        """Return the folder or file itself, if it has a tokenizer."""
        from degen.text.tokenizer import has_tokenizer

        folder = self.path if self.path.is_dir() or self.path.suffix == ".gguf" else self.path.parent
        return folder if has_tokenizer(folder) else None

    def tensors(self) -> StoredTensors:
        """Return the tensors of its files."""
        from degen.checkpoint_formats.registry import open_tensors

        return open_tensors(CheckpointFiles(self.path))

    def fetch(self, downloads: Downloads, whole: bool) -> CheckpointFiles:
        """Return the files where they are; nothing is downloaded."""
        return CheckpointFiles(self.path, config=self._config_elsewhere())
