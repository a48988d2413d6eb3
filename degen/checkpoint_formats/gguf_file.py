"""One GGUF file."""

from __future__ import annotations

from pathlib import Path

from degen.weights.gguf import GgufTensors
from degen.weights.stored_tensors import StoredTensors

from .checkpoint_format import CheckpointFormat


class GgufFile(CheckpointFormat):
    """A `.gguf` file, which holds configuration and tokenizer, too."""

    def matches(self, path: Path) -> bool:
        """Return whether its name ends in `.gguf`."""
        return path.suffix == ".gguf"

    def files(self, path: Path) -> list[Path]:
        """Return the file itself."""
        return [path]

    def open(self, path: Path) -> StoredTensors:
        """Return its tensors, dequantised as they are read."""
        return GgufTensors(path)
