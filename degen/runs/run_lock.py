"""The lock of a run folder: one scan alone, or several that each measure a part of the checkpoints."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from degen.errors import RunFolderError

from .ownership import LOCK

_HELD = (errno.EACCES, errno.EAGAIN)


@contextmanager
def run_lock(path: Path, shared: bool) -> Iterator[None]:
    """Lock a run folder while the block lasts; made if it is not there.

    The lock keeps a scan of the whole run apart from all others, on one machine, and on several where their file system
    passes locks on. What processes of a shared run write is safe without it.

    Args:
        path: the run folder.
        shared: whether others may hold the lock shared at the same time.

    Raises:
        RunFolderError: another scan holds it, and one of the two wants it alone.
        OSError: the folder cannot be written.
    """
    path.mkdir(parents=True, exist_ok=True)
    if shared:
        yield from _shared(path / LOCK)
        return
    from filelock import FileLock, Timeout

    lock = FileLock(path / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise _held(path) from None
    try:
        yield
    finally:
        lock.release()


def _shared(file: Path) -> Iterator[None]:
    """Hold the lock with others; without a lock where the system or the file system has none."""
    try:
        import fcntl
    except ImportError:  # as on Windows
        yield
        return
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                raise _held(file.parent) from None
        yield
    finally:
        os.close(descriptor)


def _held(path: Path) -> RunFolderError:
    return RunFolderError(
        f"{path}: another scan is at work in it", "wait for it or choose another --out; only shards share a folder"
    )
