"""Weights of the hub on this disk: linked from the user's cache, kept in it, or here only while they are measured."""

from __future__ import annotations

import hashlib
import platform
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, get_args

from degen.errors import DegenError
from degen.weights.checkpoint_files import CheckpointFiles

Keep = Literal["none", "all"]
_SHARED = "shared-"  # what several checkpoints are made of
_LOCK = ".lock"
_OWN = "process-"  # what one of several processes downloads
_FOLDER = re.compile(rf"[0-9a-f]{{16}}|{_SHARED}(whole|head)|{_OWN}[0-9a-f]{{8}}-[0-9a-f]{{8}}")


def is_download(folder: Path) -> bool:
    """Return whether `folder`, a folder among the downloads, was made by `Downloads`: by the form of its name."""
    return bool(_FOLDER.fullmatch(folder.name)) and folder.is_dir() and not folder.is_symlink()


@contextmanager
def own_downloads(path: Path, keep: str) -> Iterator[Downloads]:
    """Yield a place for the downloads of this process alone, where others download below the same folder.

    It is deleted at the end of the block, and with it those of processes of this machine that were killed.

    Args:
        path: the folder of all of them.
        keep: as for `Downloads`.
    """
    from filelock import FileLock, Timeout

    machine, token = hashlib.sha256(platform.node().encode()).hexdigest()[:8], secrets.token_hex(4)
    for left in path.glob(f"{_OWN}{machine}-*"):
        with suppress(Timeout, OSError), FileLock(left / _LOCK, timeout=0):
            shutil.rmtree(left, ignore_errors=True)
    folder, unlocked = path / f"{_OWN}{machine}-{token}", path / f"{_OWN}{'0' * 8}-{token}"
    unlocked.mkdir(parents=True)
    try:
        with FileLock(unlocked / _LOCK, timeout=0):
            unlocked.rename(folder)  # from here on others of this machine see it, and its lock
            yield Downloads(folder, keep)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            path.rmdir()


class Downloads:
    """A folder for downloads, with one folder inside for every checkpoint.

    Files of the user's own cache are linked into it and never deleted.

    Args:
        path: the folder; made when it is first needed.
        keep: `all` to download into the user's cache and leave the files there; `none` to download into the folder,
            where `release` deletes them.

    Raises:
        DegenError: `keep` is neither.
    """

    def __init__(self, path: Path, keep: str = "none") -> None:
        if keep not in get_args(Keep):
            raise DegenError(f"--keep {keep}: must be one of {', '.join(get_args(Keep))}")
        self.path = path
        self.keep = keep
        self._shared: dict[tuple[Hashable, bool], CheckpointFiles] = {}
        self._sharing = threading.Lock()

    def folder(self, key: str) -> Path:
        """Return the folder for the files of a source; it is made if it is missing.

        An unfinished download in it is continued.

        Args:
            key: the key of the source, see `Source.key`.
        """
        folder = self._folder(key)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _folder(self, key: str) -> Path:
        return self.path / hashlib.sha256(key.encode()).hexdigest()[:16]

    def link(self, file: Path, link: Path) -> None:
        """Make `link` a symbolic link to `file`, a file of the cache; whatever is at `link` is replaced."""
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(file.resolve())

    def shared(
        self, source: Hashable, whole: bool, fetch: Callable[[Downloads, bool], CheckpointFiles]
    ) -> CheckpointFiles:
        """Return the files of a source that several checkpoints are made of, fetched once and kept until `clear`.

        Args:
            source: identifies the files; equal sources share them.
            whole: whether every tensor is needed, or the head alone.
            fetch: fetches the files; it gets a Downloads object for them, and `whole`.

        Raises:
            CheckpointError: they cannot be fetched.
        """
        with self._sharing:
            whole = whole or (source, True) in self._shared
            if (source, whole) not in self._shared:
                path = self.path / f"{_SHARED}{'whole' if whole else 'head'}"  # a release of the source leaves it alone
                self._shared[source, whole] = fetch(Downloads(path, self.keep), whole)
            return self._shared[source, whole]

    def release(self, key: str) -> None:
        """Delete what was downloaded for the source with the key `key`."""
        shutil.rmtree(self._folder(key), ignore_errors=True)

    def clear(self) -> None:
        """Delete all downloads that are not kept, those of an earlier run that was interrupted included.

        What else lies in the folder stays there.
        """
        self._shared.clear()
        if self.path.is_symlink() or not self.path.is_dir():
            return
        with suppress(OSError):
            for child in filter(is_download, self.path.iterdir()):
                shutil.rmtree(child, ignore_errors=True)
            self.path.rmdir()
