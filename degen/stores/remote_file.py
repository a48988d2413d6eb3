"""A file at a URL, with what of `pathlib.Path` readers of text need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from .filesystem import open_filesystem, store_errors

BLOCK = 1 << 23  # bytes asked for at once while a file is streamed


@dataclass(frozen=True)
class RemoteFile:
    """A file at a URL.

    Attributes:
        url: of the file.
        size: in bytes; None where the server does not tell it.
    """

    url: str
    size: int | None
    _filesystem: Any = field(repr=False)
    _path: str = field(repr=False)

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The last part of the path, without what follows a `?`."""
        return PurePosixPath(self._path.partition("?")[0]).name

    def open(self) -> IO[bytes]:
        """Open the file for reading, block by block.

        Raises:
            StoreError: it cannot be opened.
        """
        with store_errors(self.url):
            opened: IO[bytes] = self._filesystem.open(self._path, "rb", block_size=BLOCK)
            return opened

    def read_range(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`.

        Raises:
            StoreError: they cannot be read.
        """
        with store_errors(self.url):
            content: bytes = self._filesystem.cat_file(self._path, start=start, end=start + length)
        return content if len(content) <= length else content[start : start + length]  # of a server without ranges

    def read_bytes(self) -> bytes:
        """Return the whole content.

        Raises:
            StoreError: it cannot be read.
        """
        with store_errors(self.url):
            content: bytes = self._filesystem.cat_file(self._path)
            return content


def remote_files(url: str, is_wanted: Callable[[str], object]) -> list[RemoteFile]:
    """Return the file at a URL, or the files below it in the order in which a local folder's are read.

    Args:
        url: of a file or a folder.
        is_wanted: whether a file of that name, found in a folder, is returned.

    Raises:
        StoreError: there is nothing, or it cannot be listed.
    """
    filesystem, path = open_filesystem(url)
    with store_errors(url):
        filesystem.invalidate_cache()
        known = filesystem.info(path)
        if known["type"] == "file":
            return [RemoteFile(url, known.get("size"), filesystem, path)]
        below = filesystem.find(path, detail=True)
    return [
        RemoteFile(f"{url.rstrip('/')}/{name[len(path) + 1 :]}", facts.get("size"), filesystem, name)
        for name, facts in sorted(below.items(), key=lambda item: PurePosixPath(item[0]))
        if is_wanted(PurePosixPath(name).name)
    ]


def open_binary(file: Path | RemoteFile) -> IO[bytes]:
    """Open a file for reading, wherever it lies."""
    return file.open("rb") if isinstance(file, Path) else file.open()


def size_of(file: Path | RemoteFile) -> int | None:
    """Return the size of a file in bytes; None where it is not known."""
    return file.stat().st_size if isinstance(file, Path) else file.size
