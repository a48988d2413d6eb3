"""Progress of a scan: the engine reports to this class, the command line shows it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from degen.checkpoints.series import Checkpoint

T = TypeVar("T")

_log = logging.getLogger("degen")


class Progress:
    """Reports of a scan on how far it is. This class writes warnings and notes to the log `degen`."""

    def note(self, text: str) -> None:
        """Report something worth knowing."""
        _log.info(text)

    def warn(self, text: str) -> None:
        """Report something the user may want to mend."""
        _log.warning(text)

    def counted(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        """Yield the items, and report how many there were."""
        yield from items
        self.note(f"{total} {what}")

    def begin(self, checkpoints: Sequence[Checkpoint], done: int) -> None:
        """Report that the scan starts on these; `done` of them are measured already."""

    def start(self, checkpoint: Checkpoint, tokens: int) -> None:
        """Report that a checkpoint is next, with so many tokens to pass."""

    def advance(self, tokens: int) -> None:
        """Report that so many tokens of it have passed."""

    def training(self, text: str, done: int, total: int) -> None:
        """Report on a head that learns: its losses in words, tokens done and to do."""
        _log.info("%s of %s tokens trained: %s", f"{done:,}", f"{total:,}", text)

    def finish(self, checkpoint: Checkpoint, status: str, summary: str) -> None:
        """Report that the checkpoint is measured and written, or failed for the reason given."""
        (_log.warning if status == "failed" else _log.info)("%s: %s %s", checkpoint, status, summary)
