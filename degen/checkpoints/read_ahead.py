"""Weights read before their turn, so that they come from memory when a model is loaded and not from a disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from degen.checkpoint_formats.registry import format_of
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


def usable_memory() -> float:
    """Return the bytes of memory that this process may use, its files in the system's cache included.

    The least of the machine's memory and of the limits of a container or a job (Linux's control groups); infinity where
    the system tells neither.
    """
    try:
        physical = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        physical = float("inf")
    return min(physical, *memory_limits(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")))


def memory_limits(own: Path, root: Path) -> list[float]:
    """Return the limits, in bytes, of the control groups that a process is in; infinity where there is none.

    Args:
        own: a file with a line for each hierarchy: its number, its controllers, the path of the group.
        root: where groups are folders: those of version 2, which name no controller, here, and those of version 1 in a
            folder `memory`.
    """
    limits = [float("inf")]
    with suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            base, name = (root / "memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
            group = base / path.strip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(base):
                    with suppress(OSError, ValueError):  # the topmost group has no such file; `max` is no number
                        limits.append(float((folder / name).read_text()))
    return limits
