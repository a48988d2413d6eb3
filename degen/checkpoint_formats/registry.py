"""Every format that a checkpoint can be read in, and which of them a path is in."""

from __future__ import annotations

from pathlib import Path

from degen.weights.checkpoint_files import CheckpointFiles
from degen.weights.stored_tensors import StoredTensors

from .checkpoint_format import CheckpointFormat
from .distributed import DistributedFolder
from .gguf_file import GgufFile
from .hugging_face import HuggingFaceFolder
from .torch_file import TorchFile

# A folder in several formats is read in the first of them. What is none of them is read as the last would be, for its
# message.
_DEFAULT = HuggingFaceFolder()
FORMATS: tuple[CheckpointFormat, ...] = (GgufFile(), _DEFAULT, DistributedFolder(), TorchFile())


def find_format(path: Path) -> CheckpointFormat | None:
    """Return the format of a checkpoint, by its files; None where it is in none that can be read."""
    return next((known for known in FORMATS if known.matches(path)), None)


def format_of(path: Path) -> CheckpointFormat:
    """Return the format of a checkpoint; of one without weights that of folders, which says what is missing."""
    return find_format(path) or _DEFAULT


def open_tensors(files: CheckpointFiles) -> StoredTensors:
    """Open the tensors of a checkpoint in whatever format it is.

    Raises:
        CheckpointError: no weights, a missing part, or a file that cannot be read.
    """
    return format_of(files.path).open(files.path)
