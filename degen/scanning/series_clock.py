"""How far a scan is in its series, and how much time is left."""

from __future__ import annotations

import time
from collections.abc import Callable


class SeriesClock:
    """Counts checkpoints and tokens, and estimates the time left from those measured so far.

    Args:
        now: returns the time in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.total = self.finished = 0
        self._before = 0  # measured by earlier scans
        self._tokens = self._passed = 0
        self._began = self._began_checkpoint = now()

    def begin(self, total: int, done: int) -> None:
        """Begin a series of `total` checkpoints, of which `done` are measured already."""
        self.total, self.finished, self._before = total, done, done
        self._began = self._began_checkpoint = self._now()

    def begin_checkpoint(self, tokens: int) -> None:
        """Begin a checkpoint, through which so many tokens will pass; 0 if unknown."""
        self._tokens, self._passed, self._began_checkpoint = tokens, 0, self._now()

    def advance(self, tokens: int) -> None:
        """Count tokens that have passed."""
        self._passed += tokens

    def finish_checkpoint(self) -> float:
        """Count a checkpoint that is measured or failed, and return the seconds that it took."""
        self.finished += 1
        self._tokens = self._passed = 0
        return self._now() - self._began_checkpoint

    @property
    def share(self) -> float:
        """How much of the current checkpoint has passed, from 0 to 1; 0 if unknown."""
        return min(self._passed / self._tokens, 1.0) if self._tokens else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the series is measured, at the pace so far; None before anything is."""
        measured = self.finished - self._before + self.share
        if measured <= 0 or self.finished >= self.total:
            return None
        return (self._now() - self._began) / measured * (self.total - self.finished - self.share)


def format_seconds(seconds: float) -> str:
    """Return a duration in the two units that matter: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
