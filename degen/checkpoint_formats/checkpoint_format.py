"""What a format of checkpoints is: the one interface through which all of them are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.weights.stored_tensors import StoredTensors

if TYPE_CHECKING:
    import torch


class CheckpointFormat(ABC):
    """A format that a checkpoint may be stored in."""

    @abstractmethod
    def matches(self, path: Path) -> bool:
        """Return whether a folder or file is a checkpoint in this format, by the names of its files."""

    @abstractmethod
    def files(self, path: Path) -> list[Path]:
        """Return the files that hold the weights of a checkpoint in this format."""

    def files_to_load(self, path: Path) -> list[Path]:
        """Return those of the files that a model is loaded from.

        Raises:
            CheckpointError: they cannot be told.
        """
        return self.files(path)

    @abstractmethod
    def open(self, path: Path) -> StoredTensors:
        """Return the tensors, with names as a model of transformers has them where they can be told.

        Raises:
            CheckpointError: they cannot be read.
        """

    def state_dict(self, path: Path) -> dict[str, torch.Tensor] | None:
        """Return every tensor by name, for a model to be loaded with; None where transformers reads the files itself.

        Raises:
            CheckpointError: they cannot be read.
        """
        return None

    def configuration(self, path: Path) -> Mapping[str, Any] | None:
        """Return the entries of the configuration of transformers that the files themselves give; None without any.

        Raises:
            CheckpointError: they cannot be read.
        """
        return None

    def head_alone(self, path: Path) -> str | None:
        """Return why no more than the head of a checkpoint can be measured; None where all of it can.

        Raises:
            CheckpointError: the files cannot be read.
        """
        return None
