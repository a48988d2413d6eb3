"""Where the files of a checkpoint are, and how they get onto this machine."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from degen.weights.checkpoint_files import CheckpointFiles

if TYPE_CHECKING:
    from degen.weights.stored_tensors import StoredTensors

    from .downloads import Downloads


def same_version(kept: str | None, now: str | None) -> bool:
    """Return whether the files of a checkpoint are those that were measured.

    Args:
        kept: the version that a run keeps; runs of earlier versions of degen kept the newest time without the hash.
        now: the version now; None where the weights are gone, which are still measured.
    """
    return now is None or kept in (now, re.sub(r", files [0-9a-f]{16}", "", now))


class Source(ABC):
    """Where the files of one checkpoint are. Sources are equal if they name the same files."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the path or name of the files, as a user would write it."""

    @abstractmethod
    def version(self) -> str | None:
        """Return a commit or a modification time, which changes whenever the files do; None without weights."""

    @property
    def key(self) -> str:
        """A text that identifies these files in this version."""
        return f"{self} {self.version()}"

    @abstractmethod
    def config(self) -> Path:
        """Return the folder or `.gguf` file with the configuration.

        Raises:
            CheckpointError: it cannot be fetched.
        """

    @abstractmethod
    def tokenizer(self) -> Path | None:
        """Return the folder or `.gguf` file with the tokenizer; None without one.

        Raises:
            CheckpointError: it cannot be fetched.
        """

    @abstractmethod
    def tensors(self) -> StoredTensors:
        """Return the tensors, each read from where it is stored when it is needed.

        Raises:
            CheckpointError: no weights, or files that cannot be read piece by piece.
        """

    @abstractmethod
    def fetch(self, downloads: Downloads, whole: bool) -> CheckpointFiles:
        """Bring the files to this machine: with all tensors, or with the head at least.

        Raises:
            CheckpointError: files are missing or cannot be fetched.
        """

    def cache_alias(self) -> None:  # noqa: B027 - most sources have no cache
        """Enter a copy of a cached checkpoint into the cache under its own name, where that takes no bytes.

        Raises:
            CheckpointError: it cannot be fetched.
        """

    def hashes(self) -> dict[str, str] | None:
        """Return the published hashes of the weight files by name; None where none are published.

        Raises:
            CheckpointError: they cannot be fetched.
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
        """Return the size of the weight files in bytes.

        Raises:
            CheckpointError: no weights.
        """
        return self.tensors().size(None)
