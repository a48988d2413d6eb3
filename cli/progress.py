"""How far a scan is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

from degen.printable import printable
from degen.scanning.progress import Progress

from . import output

if TYPE_CHECKING:
    from degen.checkpoints.series import Checkpoint


T = TypeVar("T")


class ConsoleProgress(Progress):
    """Progress on stderr."""

    def __init__(self) -> None:
        self._console = output.stderr()
        self._bar: Any = None
        self._task: Any = None
        self._of = 0
        self._at = 0
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"),
                TimeRemainingColumn(), console=self._console, transient=True,
            )  # fmt: skip
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """Print a plain line."""
        self._console.print(printable(text), markup=False)

    def warn(self, text: str) -> None:
        """Print a line that says it is a warning."""
        self._console.print(f"warning: {printable(text)}", markup=False)

    def track(self, items: Iterable[T], total: int, noun: str) -> Iterator[T]:
        """Yield the items, counted by a bar of their own on a terminal."""
        task = self._bar.add_task(noun, total=total, unit="") if self._bar is not None else None
        for item in items:
            yield item
            if task is not None:
                self._bar.advance(task)
        if task is not None:
            self._bar.remove_task(task)
        self.note(f"{total} {noun}")

    def start_scan(self, checkpoints: Sequence[Checkpoint], done: int) -> None:
        """Note how many checkpoints there are."""
        self._of, self._at = len(checkpoints), done
        if done:
            self.note(f"{done} of {len(checkpoints)} checkpoints are measured already")

    def start_checkpoint(self, checkpoint: Checkpoint, tokens: int) -> None:
        """Begin a bar for the checkpoint, on a terminal."""
        self._began = time.monotonic()
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            text = f"[{self._at + 1}/{self._of}] {printable(str(checkpoint))}".replace("[", "\\[")
            self._task = self._bar.add_task(text, total=tokens or None, unit="tokens")

    def advance(self, tokens: int) -> None:
        """Move the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, tokens)

    def report_training(self, text: str, done: int, total: int) -> None:
        """Show how many tokens were trained on, and the loss of every rank as text."""
        if self._bar is None or self._task is None:
            self.note(f"  {done:,} of {total:,} tokens trained: {text}")
        else:
            self._bar.update(self._task, description=text.replace("[", "\\["), completed=done, total=total)

    def finish_checkpoint(self, checkpoint: Checkpoint, status: str, summary: str) -> None:
        """Print one line for the checkpoint."""
        self._at += 1
        seconds = time.monotonic() - self._began
        self.note(f"[{self._at}/{self._of}] {checkpoint} {status} {seconds:.1f} s{': ' + summary if summary else ''}")
