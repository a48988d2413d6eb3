"""How much memory a process may use: the machine's, or what a container or a job leaves of it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


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
