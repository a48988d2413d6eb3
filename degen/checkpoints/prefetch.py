"""The files of one checkpoint after another, the next one's fetched while this one is measured."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self, TypeVar

from degen.errors import CheckpointError
from degen.weights.checkpoint_files import CheckpointFiles

from .downloads import Downloads
from .read_ahead import read_ahead, weights_to_load
from .series import Checkpoint

T = TypeVar("T")
Fetched = tuple[Checkpoint, Future[CheckpointFiles]]  # a checkpoint, and its files or the error that took their place


@dataclass(frozen=True)
class FetchRequest:
    """A checkpoint to be measured.

    Attributes:
        checkpoint: which one.
        whole: whether all of its tensors are needed, or only the head.
        read_ahead: whether its weights are read once they are here, while the one before it is measured.
    """

    checkpoint: Checkpoint
    whole: bool
    read_ahead: bool = False


class Fetcher:
    """Fetches the files of checkpoints in the order of a scan, the next ones while the current one is measured.

    The files of two checkpoints at most are on disk at once.

    Args:
        downloads: where files of the hub go.
        order: the checkpoints to be measured, in order.
        is_copy: returns whether a checkpoint is known to equal another one, so that it need not be fetched.
    """

    def __init__(
        self, downloads: Downloads, order: Sequence[FetchRequest], is_copy: Callable[[Checkpoint], bool]
    ) -> None:
        self.downloads = downloads
        self._order = list(order)
        self._is_copy = is_copy
        self._ahead: Future[Fetched | None] | None = None
        self._closed = False
        self._stop_reading = threading.Event()

    def __enter__(self) -> Self:
        self.downloads.clear()  # what a scan that was killed left there
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed = True  # for a thread that is still at work
        self._stop_reading.set()
        self.downloads.clear()

    @contextmanager
    def files(self, checkpoint: Checkpoint) -> Iterator[CheckpointFiles]:
        """Yield the files of a checkpoint while the block lasts; those of the next one are fetched meanwhile.

        Raises:
            CheckpointError: they cannot be fetched.
        """
        index = next(i for i, request in enumerate(self._order) if request.checkpoint == checkpoint)
        try:
            files = self._take(self._order[index])
            if self._ahead is None:
                self._ahead = _in_thread(lambda: self._fetch_next(checkpoint, self._order[index + 1 :]))
            yield files
        finally:
            self.downloads.release(checkpoint.source.key)

    def mark_copy(self, checkpoint: Checkpoint) -> None:
        """Skip a checkpoint that is a copy of another one.

        Where downloads are kept in the user's cache, the copy is added to it.
        """
        if self.downloads.keep == "all":
            with suppress(CheckpointError):  # the scan does not need it
                checkpoint.source.cache_alias()

    def _take(self, request: FetchRequest) -> CheckpointFiles:
        """Return the files of the requested checkpoint: those fetched ahead, or else fetch them now."""
        ahead = self._ahead.result() if self._ahead is not None else None
        if ahead is None or not self._is_later(ahead[0], request.checkpoint):
            self._ahead = None
        if ahead is not None and ahead[0] == request.checkpoint:
            return ahead[1].result()
        if ahead is not None and self._ahead is None:
            self.downloads.release(ahead[0].source.key)  # its turn is over: it was a copy after all
        return self._fetch(request)[1].result()

    def _is_later(self, one: Checkpoint, other: Checkpoint) -> bool:
        order = [request.checkpoint for request in self._order]
        return order.index(one) > order.index(other)

    def _fetch_next(self, current: Checkpoint, following: Sequence[FetchRequest]) -> Fetched | None:
        """Begin to fetch the next checkpoint that is no copy, and return it with its coming files.

        None where there is no such checkpoint, or where it has the same files as the current one: these are deleted
        after the current one, so that fetching them ahead would be useless.

        Args:
            current: the checkpoint that is being measured.
            following: the requests behind it.
        """
        request = next((r for r in following if not self._is_known_copy(r.checkpoint)), None)
        if request is None or request.checkpoint.source == current.source:
            return None
        fetched = self._fetch(request)
        if request.read_ahead and fetched[1].exception() is None:
            self._read_ahead(fetched[1].result())
        return fetched

    def _read_ahead(self, files: CheckpointFiles) -> None:
        """Read the weights of a checkpoint in a thread that nobody waits for; it ends where the next one begins."""
        self._stop_reading.set()
        stop = self._stop_reading = threading.Event()
        with suppress(RuntimeError):  # no thread can be started: they are read when they are loaded
            _in_thread(lambda: read_ahead(weights_to_load(files), lambda: stop.is_set() or self._closed))

    def _is_known_copy(self, checkpoint: Checkpoint) -> bool:
        try:
            return self._is_copy(checkpoint)
        except Exception:
            return False  # the error is met again, and reported, when the checkpoint is measured

    def _fetch(self, request: FetchRequest) -> Fetched:
        """Fetch the files of a checkpoint in a thread; an error is raised later, when they are taken."""
        files: Future[CheckpointFiles] = Future()
        try:
            files.set_result(request.checkpoint.source.fetch(self.downloads, request.whole))
        except Exception as error:
            files.set_exception(error)
        finally:
            if self._closed:
                self.downloads.clear()
        return request.checkpoint, files


def _in_thread(call: Callable[[], T]) -> Future[T]:
    """Call `call()` in a thread, and return the future of its result; the process can end before the thread does."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # raised again for whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="fetch ahead").start()
    return future
