"""A folder at a URL: its files listed, fetched, and written whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from degen.paths import atomic

from .filesystem import open_filesystem, store_errors

AT_ONCE = 8  # files on their way
# On these a file appears once it is there as a whole; on others it is written under another name and moved.
_WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "memory"}
_VERSION = ("ETag", "etag", "md5Hash", "generation", "mtime", "created", "LastModified")


class RemoteFolder:
    """A folder at a URL.

    Args:
        url: of the folder, which need not be there.

    Raises:
        StoreError: the URL is of no file system that is known and installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._filesystem, self._path = open_filesystem(self.url)
        self._is_whole = url.partition("://")[0] in _WHOLE

    def list(self) -> dict[str, str]:
        """Return the files below the folder: path in it -> a text that changes with the file.

        Raises:
            StoreError: the folder cannot be listed; one that is not there is empty.
        """
        with store_errors(self.url):
            self._filesystem.invalidate_cache()
            try:
                found = self._filesystem.find(self._path, detail=True)
            except FileNotFoundError:
                return {}
        start = len(self._path) + 1
        return {name[start:]: _version(facts) for name, facts in found.items() if len(name) > start and name[-1] != "/"}

    def fetch(self, names: Iterable[str], to: Path) -> None:
        """Fetch files into a folder of this machine, each whole or not at all.

        Raises:
            StoreError: one of them cannot be read.
        """

        def fetch_one(name: str) -> None:
            with store_errors(f"{self.url}/{name}"), atomic(to / name) as temporary:
                self._filesystem.get_file(f"{self._path}/{name}", str(temporary))

        _at_once(fetch_one, names)

    def put(self, names: Iterable[str], source: Path) -> None:
        """Write files of a folder of this machine, each whole or not at all; one that is there is replaced.

        Raises:
            StoreError: one of them cannot be written.
        """
        _at_once(lambda name: self._put(name, source / name), names)

    def create(self, name: str, source: Path) -> bool:
        """Write a file that is not there; return whether that was done, and the file was not there.

        On S3 no other process can write it in between; on other stores one may in the moment after the look.

        Raises:
            StoreError: it cannot be written.
        """
        with store_errors(f"{self.url}/{name}"):
            self._filesystem.invalidate_cache()
            if self._filesystem.exists(f"{self._path}/{name}"):
                return False
            if not hasattr(self._filesystem, "_call_s3"):
                self._put(name, source / name)
                return True
            try:
                self._filesystem.put_file(str(source / name), f"{self._path}/{name}", mode="create")
            except OSError as error:
                if isinstance(error, FileExistsError) or "PreconditionFailed" in str(error) + str(error.__cause__):
                    return False
                raise
        return True

    def delete(self, names: Iterable[str]) -> None:
        """Delete files, one after another; those that are not there are none to delete.

        Raises:
            StoreError: one of them cannot be deleted.
        """
        for name in names:
            with store_errors(f"{self.url}/{name}"):
                try:
                    self._filesystem.rm_file(f"{self._path}/{name}")
                except FileNotFoundError:
                    continue

    def _put(self, name: str, file: Path) -> None:
        target = f"{self._path}/{name}"
        with store_errors(f"{self.url}/{name}"):
            if self._is_whole:
                self._filesystem.put_file(str(file), target)
                return
            folder = target.rpartition("/")[0]
            self._filesystem.makedirs(folder, exist_ok=True)
            temporary = f"{folder}/.{secrets.token_hex(8)}.partial"
            self._filesystem.put_file(str(file), temporary)
            self._filesystem.mv(temporary, target)


def _at_once(action: Callable[[str], None], names: Iterable[str]) -> None:
    """Do something with several files at once; the first error is raised when all have ended."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(action, name) for name in names]:
            done.result()


def _version(facts: dict[str, Any]) -> str:
    return " ".join(str(facts.get(key, "")) for key in ("size", *_VERSION))
