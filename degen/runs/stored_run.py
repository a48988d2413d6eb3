"""A run folder at a URL of fsspec: a copy on this machine, and what is done there carried over whole.

The copy is what everything else reads and writes. `pull` makes it like the folder at the URL, `push` the other way
round: what a checkpoint consists of first, its part of table `checkpoints`, which says that all is there, last.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from degen.errors import DegenError, RunFolderError
from degen.paths import atomic
from degen.stores.filesystem import StoreError
from degen.stores.remote_folder import RemoteFolder
from degen.stores.urls import HUB
from degen.tables import CHECKPOINTS

from .hub_run import is_part_name
from .run_file import RUN_FILE

SAMPLE = "sample.parquet"
ATTEMPTS = 3  # to read a run that is being written
KEPT = "what was finished is kept there, and the same command goes on from it"


class _FileState(NamedTuple):
    """What changes when a file is written anew."""

    inode: int
    size: int
    modified: int


class StoredRun:
    """A run folder at a URL, and its copy on this machine.

    Args:
        url: of the run folder, which need not be there.
        folder: of the copy.
        versions: a file in which is kept which version of each file was fetched; None to fetch all in each `pull`.

    Raises:
        DegenError: the URL is of no file system that runs can be kept in.
    """

    def __init__(self, url: str, folder: Path, versions: Path | None = None) -> None:
        self.url, self.folder = url.rstrip("/"), folder
        self._versions = versions
        self._remote = RemoteFolder(url)
        self._pushed: dict[str, _FileState] = {}

    def pull(self) -> None:
        """Make the copy like the folder at the URL: fetch what is new or has changed, delete what is there no longer.

        Raises:
            DegenError: the folder at the URL holds something else, or cannot be read.
        """
        there = {name: version for name, version in self._remote.list().items() if not _is_hidden(name)}
        if RUN_FILE not in there and (others := [name for name in there if name != SAMPLE]):
            raise RunFolderError(f"{self.url}: holds {others[0]} and is no run folder", "choose another folder")
        wanted = {n: v for n, v in there.items() if n in (RUN_FILE, SAMPLE) or is_part_name(n)}
        known = self._known_versions()
        here = self._files()
        for name in here.keys() - wanted.keys():
            (self.folder / name).unlink()
        self._remote.fetch([n for n, v in wanted.items() if n not in here or known.get(n) != v], self.folder)
        if self._versions is not None:
            with atomic(self._versions) as temporary:
                temporary.write_text(json.dumps(wanted))
        self._pushed = self._files()

    def push(self) -> None:
        """Carry over what has changed in the copy since the last `pull` or `push`.

        Workers may write to the copy meanwhile: where a file is gone that was just listed, it is listed anew.

        Raises:
            StoreError: the folder at the URL cannot be written; its exit code is 4.
        """
        for attempt in range(ATTEMPTS):
            try:
                self._push_changed()
                return
            except StoreError as error:
                if attempt == ATTEMPTS - 1 or not isinstance(error.__cause__, FileNotFoundError):
                    raise StoreError(f"{error}; {KEPT}", exit_code=4) from error

    def _push_changed(self) -> None:
        """Carry over what differs from what was carried over before."""
        here = self._files()
        changed = [name for name, state in here.items() if self._pushed.get(name) != state]
        gone = [name for name in self._pushed if name not in here]
        if not changed and not gone:
            return
        replaced = [name for name in changed if _is_last(name) and name in self._pushed]
        self._remote.delete(sorted([*gone, *replaced], key=lambda name: (not _is_last(name), name == RUN_FILE)))
        if RUN_FILE in changed and RUN_FILE not in self._pushed and not self._remote.create(RUN_FILE, self.folder):
            raise RunFolderError(f"{self.url}: another scan has begun a run there meanwhile", "run the command again")
        for group in (
            [name for name in changed if name == SAMPLE],
            [name for name in changed if name == RUN_FILE and name in self._pushed],
            [name for name in changed if name not in (SAMPLE, RUN_FILE) and not _is_last(name)],
            [name for name in changed if _is_last(name)],
        ):
            self._remote.put(group, self.folder)
        self._pushed = here

    def create_info(self) -> bool:
        """Carry run.json over if there is none at the URL; return whether that was done."""
        created = self._remote.create(RUN_FILE, self.folder)
        if created:
            self._pushed[RUN_FILE] = _state_of(self.folder / RUN_FILE)
        return created

    def pull_info(self) -> None:
        """Fetch run.json, to which other processes may have added; keep the copy's where there is none."""
        if RUN_FILE in self._pushed:
            self._remote.fetch([RUN_FILE], self.folder)
            self._pushed[RUN_FILE] = _state_of(self.folder / RUN_FILE)

    def _files(self) -> dict[str, _FileState]:
        """Return the files of the copy that belong to the run, as path in it -> state."""
        names = [file for file in (self.folder / RUN_FILE, self.folder / SAMPLE) if file.is_file()]
        names += [f for f in self.folder.rglob("[!.]*.parquet") if is_part_name(f.relative_to(self.folder).as_posix())]
        found: dict[str, _FileState] = {}
        for file in names:
            with suppress(FileNotFoundError):  # a worker is just replacing it
                found[file.relative_to(self.folder).as_posix()] = _state_of(file)
        return found

    def _known_versions(self) -> dict[str, str]:
        try:
            versions: dict[str, str] = json.loads(self._versions.read_text()) if self._versions is not None else {}
        except (OSError, ValueError):
            return {}
        return versions


def fetch_run(url: str) -> Path:
    """Return the folder of a copy of the run at a URL, for reading; only what has changed since is fetched.

    Raises:
        DegenError: there is no run, or it cannot be read.
    """
    folder = copy_for_reading(url)
    if not (folder / RUN_FILE).is_file():
        raise DegenError(f"{url}: no run folder (no {RUN_FILE} in it); `degen scan SERIES -o {url}` makes one there")
    return folder


def copy_for_reading(url: str) -> Path:
    """Return the folder of a copy of what there is at the URL of a run; empty where there is nothing.

    Raises:
        DegenError: it cannot be read, or is no run.
    """
    from filelock import FileLock

    base = _base(url)
    base.mkdir(parents=True, exist_ok=True)
    with FileLock(base / "read.lock"):
        run = StoredRun(url, base / "read", base / "read.json")
        run.folder.mkdir(exist_ok=True)
        for attempt in range(ATTEMPTS):
            try:
                run.pull()
                break
            except StoreError as error:  # a scan may be replacing a part that was listed
                if attempt == ATTEMPTS - 1 or not isinstance(error.__cause__, FileNotFoundError):
                    raise
    return run.folder


@contextmanager
def working_copy(url: str, shared: bool) -> Iterator[StoredRun]:
    """Yield a run at a URL with a fresh copy of its own, for a scan; the copy is deleted at the end.

    Copies that killed processes left on this machine are deleted at the beginning.

    Args:
        url: of the run folder.
        shared: whether other scans of this machine may write to it at the same time.

    Raises:
        DegenError: another scan of this machine is at work in it, or the URL cannot be used.
    """
    from filelock import FileLock, Timeout

    if url.startswith(HUB):
        raise RunFolderError(f"{url}: the hub takes a run when it is finished", "scan into a folder, then `degen push`")
    base = _base(url)
    base.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if not shared:
            try:
                stack.enter_context(FileLock(base / "writer.lock", timeout=0))
            except Timeout:
                message = "wait for it or choose another --out; only shards share a folder"
                raise RunFolderError(f"{url}: another scan is at work in it", message) from None
        with FileLock(base / "scans.lock"):
            _delete_abandoned(base)
            folder = base / f"scan-{secrets.token_hex(8)}"
            stack.enter_context(FileLock(folder.with_suffix(".lock")))
        stack.callback(_delete_copy, folder)
        folder.mkdir()
        run = StoredRun(url, folder)
        run.pull()
        with naming_url(url, folder):
            yield run


@contextmanager
def naming_url(url: str, folder: Path) -> Iterator[None]:
    """Name the URL of a run in the errors of the `with` block where they name its copy.

    Where the copy cannot be written they go on naming it, for its disk is what is full.
    """
    try:
        yield
    except DegenError as error:
        if not isinstance(error.__cause__, OSError):
            error.args = tuple(str(text).replace(str(folder), url) for text in error.args)
        raise


def _delete_abandoned(base: Path) -> None:
    """Delete the copies whose processes have ended without doing so."""
    from filelock import FileLock, Timeout

    for lock in base.glob("scan-*.lock"):
        try:
            with FileLock(lock, timeout=0):
                _delete_copy(lock.with_suffix(""))
        except Timeout:
            continue


def _delete_copy(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".lock").unlink(missing_ok=True)


def _base(url: str) -> Path:
    """Return the folder of this machine for copies of the run at a URL: in DEGEN_CACHE, else in the user's cache."""
    cache = os.environ.get("DEGEN_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "degen"
    return Path(cache) / "runs" / sha256(url.rstrip("/").encode()).hexdigest()[:24]


def _is_last(name: str) -> bool:
    return name.startswith(f"{CHECKPOINTS}/")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _state_of(file: Path) -> _FileState:
    found = file.stat()
    return _FileState(found.st_ino, found.st_size, found.st_mtime_ns)
