"""The files of one checkpoint after another, the next one's fetched while this one is measured."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from degen.errors import CheckpointError
from degen.weights.checkpoint_files import Files

from .downloads import Downloads
from .series import Checkpoint

T = TypeVar("T")


@dataclass(frozen=True)
class Wanted:
    """A checkpoint to be measured, and whether every tensor of it is needed or the head alone."""

    checkpoint: Checkpoint
    whole: bool


@dataclass(frozen=True)
class Fetched:
    """What came of fetching a checkpoint: its files, or why there are none."""

    checkpoint: Checkpoint
    files: Files | None
    error: Exception | None

    def result(self) -> Files:
        """Return the files.

        Raises:
            CheckpointError: there are none. An error that is none of degen's own is raised as it came.
        """
        if self.error is not None:
            raise self.error
        assert self.files is not None
        return self.files


class Fetcher:
    """Gives the files of checkpoints in the order of a scan. Those of two at most are on disk at once.

    Args:
        downloads: where files of the hub go.
        order: what is to be measured, in order.
        is_copy: whether a checkpoint need not be fetched, since it is known to equal another one.
    """

    def __init__(self, downloads: Downloads, order: Sequence[Wanted], is_copy: Callable[[Checkpoint], bool]) -> None:
        self.downloads = downloads
        self._order = list(order)
        self._is_copy = is_copy
        self._ahead: Future[Fetched | None] | None = None
        self._over = False

    def __enter__(self) -> Self:
        self.downloads.clear()  # what a scan that was killed left there
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True  # for a thread that is still at work
        self.downloads.clear()

    @contextmanager
    def files(self, checkpoint: Checkpoint) -> Iterator[Files]:
        """Yield the files of a checkpoint while the block lasts; those of the next one are fetched meanwhile.

        Raises:
            CheckpointError: they cannot be had.
        """
        place = next(i for i, w in enumerate(self._order) if w.checkpoint == checkpoint)
        try:
            files = self._take(self._order[place])
            if self._ahead is None:
                self._ahead = _in_thread(lambda: self._look_ahead(checkpoint, self._order[place + 1 :]))
            yield files
        finally:
            self.downloads.release(checkpoint.source.key)

    def spare(self, checkpoint: Checkpoint) -> None:
        """Skip a checkpoint that is a copy of another one; where files are kept, let the cache know it, too."""
        if self.downloads.keep == "all":
            with suppress(CheckpointError):  # without it the scan is as good
                checkpoint.source.keep_copy()

    def _take(self, wanted: Wanted) -> Files:
        """Return what was fetched ahead, if that is it; else it is fetched now."""
        found = self._ahead.result() if self._ahead is not None else None
        if found is None or not self._is_later(found.checkpoint, wanted.checkpoint):
            self._ahead = None
        if found is not None and found.checkpoint == wanted.checkpoint:
            return found.result()
        if found is not None and self._ahead is None:
            self.downloads.release(found.checkpoint.source.key)  # nobody came for it: it was a copy after all
        return self._fetch(wanted).result()

    def _is_later(self, one: Checkpoint, other: Checkpoint) -> bool:
        order = [w.checkpoint for w in self._order]
        return order.index(one) > order.index(other)

    def _look_ahead(self, current: Checkpoint, following: Sequence[Wanted]) -> Fetched | None:
        """Fetch the next checkpoint that is no copy; None where there is none, or where it has the current one's files.

        Those are deleted before it is its turn.
        """
        wanted = next((w for w in following if not self._spared(w.checkpoint)), None)
        return self._fetch(wanted) if wanted is not None and wanted.checkpoint.source != current.source else None

    def _spared(self, checkpoint: Checkpoint) -> bool:
        try:
            return self._is_copy(checkpoint)
        except Exception:
            return False  # it fails in its own row

    def _fetch(self, wanted: Wanted) -> Fetched:
        """Fetch a checkpoint. Whatever goes wrong belongs to its row and to no other."""
        try:
            return Fetched(wanted.checkpoint, wanted.checkpoint.source.fetch(self.downloads, wanted.whole), None)
        except Exception as error:
            return Fetched(wanted.checkpoint, None, error)
        finally:
            if self._over:
                self.downloads.clear()


def _in_thread(call: Callable[[], T]) -> Future[T]:
    """Call in a thread that no interruption waits for."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # it belongs to whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="fetch ahead").start()
    return future
