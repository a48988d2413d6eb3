"""Where the files of a checkpoint are, and how they come to lie on this machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from degen.weights.checkpoint_files import Files

if TYPE_CHECKING:
    from degen.weights.stored_tensors import StoredTensors

    from .downloads import Downloads


class Source(ABC):
    """Where the files of one checkpoint are. Sources are equal if they name the same place."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the place, as a user would name it."""

    @abstractmethod
    def version(self) -> str | None:
        """Return what changes whenever the files do; None where the weights are gone."""

    @property
    def key(self) -> str:
        """What tells these files from all others, and from what they were before they changed."""
        return f"{self} {self.version()}"

    @abstractmethod
    def config(self) -> Path:
        """Return where the configuration lies: a folder, or a `.gguf` file.

        Raises:
            CheckpointError: it cannot be had.
        """

    @abstractmethod
    def tokenizer(self) -> Path | None:
        """Return where the tokenizer lies; None without one.

        Raises:
            CheckpointError: it cannot be had.
        """

    @abstractmethod
    def tensors(self) -> StoredTensors:
        """Return the tensors where they are, read as they are asked for.

        Raises:
            CheckpointError: no weights, or files that cannot be read piece by piece.
        """

    @abstractmethod
    def fetch(self, downloads: Downloads, whole: bool) -> Files:
        """Bring the files to this machine: with all tensors, or with the head at least.

        Raises:
            CheckpointError: files are missing or cannot be had.
        """

    def keep_copy(self) -> None:  # noqa: B027 - most sources have nothing to keep
        """Keep for later what is a copy of something kept, where that takes no bytes.

        Raises:
            CheckpointError: it cannot be had.
        """

    def hashes(self) -> dict[str, str] | None:
        """Return published content hashes of the weight files by name; None where nobody publishes any.

        Raises:
            CheckpointError: they cannot be had.
        """
        return None

    def shards(self) -> Sequence[str]:
        """Return the names of the weight files.

        Raises:
            CheckpointError: no weights.
        """
        tensors = self.tensors()
        return sorted({tensors.shard(key) for key in tensors.keys})

    def size(self) -> int:
        """Return the bytes of the weight files.

        Raises:
            CheckpointError: no weights.
        """
        return self.tensors().size(None)
