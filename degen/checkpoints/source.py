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
        """Return a text that changes whenever the files do: a commit or modification time; None without weights."""

    @property
    def key(self) -> str:
        """A text that identifies these files in this version."""
        return f"{self} {self.version()}"

    @abstractmethod
    def config(self) -> Path:
        """Return the path of the folder or `.gguf` file with the configuration, on this machine.

        Raises:
            CheckpointError: the configuration is missing or cannot be fetched.
        """

    @abstractmethod
    def tokenizer(self) -> Path | None:
        """Return the path of the folder or `.gguf` file with the tokenizer, on this machine; None without a tokenizer.

        Raises:
            CheckpointError: the tokenizer cannot be fetched.
        """

    @abstractmethod
    def tensors(self) -> StoredTensors:
        """Return the tensors; each is read from where it is stored when it is needed.

        Raises:
            CheckpointError: there are no weights, or only files of which single tensors cannot be read.
        """

    @abstractmethod
    def fetch(self, downloads: Downloads, whole: bool) -> CheckpointFiles:
        """Bring the files to this machine, and return where they are.

        Args:
            downloads: where files of the hub go.
            whole: whether all tensors are needed; False for the head at least.

        Raises:
            CheckpointError: files are missing or cannot be fetched.
        """

    def cache_alias(self) -> None:  # noqa: B027 - most sources have no cache
        """Add this checkpoint to the user's cache, if the cache has its weights already from an equal checkpoint.

        Sources that do not use the cache do nothing.

        Raises:
            CheckpointError: the other files, such as the configuration, cannot be fetched.
        """

    def hashes(self) -> dict[str, str] | None:
        """Return a dict: name of a weight file -> its published hash; None where none are published.

        Raises:
            CheckpointError: the hashes cannot be fetched.
        """
        return None

    def shards(self) -> Sequence[str]:
        """Return the names of the weight files, sorted.

        Raises:
            CheckpointError: there are no weights.
        """
        tensors = self.tensors()
        return sorted({tensors.shard(key) for key in tensors.keys})

    def size(self) -> int:
        """Return the size of all weight files together, in bytes.

        Raises:
            CheckpointError: there are no weights.
        """
        return self.tensors().size(None)
