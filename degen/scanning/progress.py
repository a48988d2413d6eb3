"""What a scan says while it runs. The engine says it to this class; the command line shows it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from degen.checkpoints.series import Checkpoint

T = TypeVar("T")

_log = logging.getLogger("degen")


class Progress:
    """Where a scan says how far it is. This one writes warnings and notes to the log `degen`."""

    def note(self, text: str) -> None:
        """Something worth knowing."""
        _log.info(text)

    def warn(self, text: str) -> None:
        """Something the user may want to mend."""
        _log.warning(text)

    def counted(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        """Hand on items, and say how many there were."""
        yield from items
        self.note(f"{total} {what}")

    def begin(self, checkpoints: Sequence[Checkpoint], done: int) -> None:
        """The scan starts on these; `done` of them are measured already."""

    def start(self, checkpoint: Checkpoint, tokens: int) -> None:
        """A checkpoint is up next, with so many tokens to pass."""

    def advance(self, tokens: int) -> None:
        """So many tokens of it have passed."""

    def training(self, text: str, done: int, total: int) -> None:
        """A head learns: how it goes, and tokens done and to do."""
        _log.info("%s of %s tokens trained: %s", f"{done:,}", f"{total:,}", text)

    def finish(self, checkpoint: Checkpoint, status: str, summary: str) -> None:
        """The checkpoint is measured and written, or failed for the reason given."""
        (_log.warning if status == "failed" else _log.info)("%s: %s %s", checkpoint, status, summary)
