"""Progress of a scan: the engine reports to this class, the command line shows it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from degen.checkpoints.series import Checkpoint
from degen.printable import printable

T = TypeVar("T")

_log = logging.getLogger("degen")

PHASES = {"fetch": "fetching", "load": "loading", "forward": "measuring"}  # in words, for bars


def counted(total: int, nouns: str) -> str:
    """Return a number of things that are done, as in `154 revisions listed` and `1 revision listed`."""
    noun, space, done = nouns.partition(" ")
    return f"{total} {noun.removesuffix('s') if total == 1 else noun}{space}{done}"


class Progress:
    """Reports of a scan on how far it is. This class writes warnings and notes to the log `degen`."""

    def note(self, text: str) -> None:
        """Report something worth knowing."""
        _log.info(printable(text))

    def warn(self, text: str) -> None:
        """Report something that the user may want to put right."""
        _log.warning(printable(text))

    def track(self, items: Iterable[T], total: int, noun: str) -> Iterator[T]:
        """Yield the items, and report how many of them there were, as in `154 revisions listed`."""
        yield from items
        self.note(counted(total, noun))

    def start_scan(self, checkpoints: Sequence[Checkpoint], done: int) -> None:
        """Report the checkpoints of the scan, and how many of them are measured already."""

    def start_phase(self, name: str) -> None:
        """Report what is done now: `finding checkpoints`, `tokenising text`, or a phase of table `timing`."""

    def start_checkpoint(self, checkpoint: Checkpoint, tokens: int) -> None:
        """Report that a checkpoint is next, and how many tokens will pass through it."""

    def advance(self, tokens: int) -> None:
        """Report that so many more tokens have passed."""

    def report_training(self, text: str, done: int, total: int) -> None:
        """Report on heads in training: their losses as text, tokens trained and to train."""
        _log.info("%s of %s tokens trained: %s", f"{done:,}", f"{total:,}", text)

    def finish_checkpoint(self, checkpoint: Checkpoint, status: str, summary: str) -> None:
        """Report that the checkpoint is measured and written, or failed for the reason given."""
        text = printable(f"{checkpoint}: {status} {summary}")
        (_log.warning if status == "failed" else _log.info)(text)

    def finish_elsewhere(self, checkpoint: Checkpoint, status: str, summary: str, seconds: float) -> None:
        """Report what `finish_checkpoint` does, of a checkpoint that a worker has measured in so many seconds."""
        self.finish_checkpoint(checkpoint, status, summary)
