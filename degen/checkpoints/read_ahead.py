"""Weights read before their turn, so that they come from memory when a model is loaded and not from a disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from degen.checkpoint_formats.registry import format_of
from degen.planning.usable_memory import usable_memory
from degen.weights.checkpoint_files import CheckpointFiles

BLOCK = 1 << 22  # bytes that are read at a time
SHARE = 0.5  # of the memory that the files may take; larger ones would drive out their own beginning


def weights_to_load(files: CheckpointFiles) -> list[Path]:
    """Return the files that a model is loaded from.

    Raises:
        CheckpointError: there are none, or one is missing.
    """
    return format_of(files.path).files_to_load(files.path)


def read_ahead(files: Sequence[Path], stopped: Callable[[], bool]) -> int:
    """Read files once and keep nothing: the system's cache holds them from then on, and gives them up for others.

    A file that cannot be read is passed over; whoever loads it says why.

    Args:
        files: read one after another; none where they take more than half of `usable_memory`.
        stopped: returns whether to stop, asked before every block.

    Returns:
        The bytes that were read.
    """
    done, block = 0, bytearray(BLOCK)
    with suppress(OSError):
        if sum(file.stat().st_size for file in files) > SHARE * usable_memory():
            return 0
    for file in files:
        with suppress(OSError), file.open("rb", buffering=0) as opened:
            while not stopped() and (count := opened.readinto(block)):
                done += count
    return done
