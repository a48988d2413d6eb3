"""The progress of a scan in a notebook: one bar with one line, by IPython's own display, without widgets."""

from __future__ import annotations

import html
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from degen.checkpoints.series import Checkpoint
from degen.printable import printable

from .progress import PHASES, Progress
from .series_clock import SeriesClock, format_seconds

Show = Callable[[str, str, bool], None]  # called with text, HTML, and whether it replaces what was shown before
SELDOM = 0.2  # seconds between two displays of the same checkpoint


def usual_progress() -> Progress:
    """Return a progress bar in a notebook, and the log `degen` elsewhere."""
    module = sys.modules.get("IPython")
    shell: Any = module.get_ipython() if module is not None and hasattr(module, "get_ipython") else None
    return NotebookProgress() if getattr(shell, "kernel", None) is not None else Progress()


class NotebookProgress(Progress):
    """A bar that is displayed once, and replaced while a scan goes on; notes and warnings go to the log `degen`.

    Args:
        show: displays a line; None for IPython's display.
        now: returns the time in seconds.
    """

    def __init__(self, show: Show | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._show = show if show is not None else _ipython_display()
        self._now = now
        self._clock = SeriesClock(now)
        self._line = ""
        self._is_shown = False
        self._last = 0.0
        self._counts: dict[str, int] = {}

    def start_scan(self, checkpoints: Sequence[Checkpoint], done: int) -> None:
        """Show how many checkpoints there are."""
        self._clock.begin(len(checkpoints), done)
        self._display()

    def start_phase(self, name: str) -> None:
        """Show what is done now."""
        checkpoint = self._line.partition(" ")[0] if "@" in self._line else ""
        self._line = f"{checkpoint} {PHASES.get(name, name)}".strip()
        self._display()

    def start_checkpoint(self, checkpoint: Checkpoint, tokens: int) -> None:
        """Show which checkpoint is next."""
        self._clock.begin_checkpoint(tokens)
        self._line = printable(str(checkpoint))
        self._display()

    def advance(self, tokens: int) -> None:
        """Move the bar on, a few times a second at most."""
        self._clock.advance(tokens)
        if self._now() >= self._last + SELDOM:
            self._display()

    def finish_checkpoint(self, checkpoint: Checkpoint, status: str, summary: str) -> None:
        """Count the checkpoint; a failed one goes to the log, too."""
        super().finish_checkpoint(checkpoint, status, summary)
        self._clock.finish_checkpoint()
        self._counts[status] = self._counts.get(status, 0) + 1
        if self._clock.finished >= self._clock.total:
            self._line = ", ".join(f"{number} {name}" for name, number in self._counts.items())
        self._display()

    def _display(self) -> None:
        """Show the bar, in place of what it showed before."""
        clock, self._last = self._clock, self._now()
        left = clock.seconds_left
        count = f"{clock.finished}/{clock.total}" if clock.total else ""
        parts = [count, self._line, f"{format_seconds(left)} left" if left is not None else ""]
        text = "  ".join(filter(None, parts))
        bar = f'<progress max="{max(clock.total, 1)}" value="{clock.finished + clock.share:.3f}"></progress>'
        self._show(text, f"{bar} {html.escape(text)}", self._is_shown)
        self._is_shown = True


def _ipython_display() -> Show:
    """Return a function that displays a line in a cell of its own, and replaces it from then on."""
    from IPython.display import display

    identity = f"degen-{secrets.token_hex(8)}"

    def show(text: str, as_html: str, again: bool) -> None:
        data = {"text/plain": text, "text/html": as_html}
        display(data, raw=True, display_id=identity, update=again)

    return show
