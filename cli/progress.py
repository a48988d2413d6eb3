"""The progress of a scan: a bar on a terminal, plain lines elsewhere."""

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
        self._total = 0
        self._finished = 0
        self._started = time.monotonic()

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
        """Print a line as a warning."""
        self._console.print(f"warning: {printable(text)}", markup=False)

    def track(self, items: Iterable[T], total: int, noun: str) -> Iterator[T]:
        """Yield the items, with a bar on a terminal, and print their number at the end."""
        task = self._bar.add_task(noun, total=total, unit="") if self._bar is not None else None
        for item in items:
            yield item
            if task is not None:
                self._bar.advance(task)
        if task is not None:
            self._bar.remove_task(task)
        self.note(f"{total} {noun}")

    def start_scan(self, checkpoints: Sequence[Checkpoint], done: int) -> None:
        """Print how many checkpoints are measured already, if any."""
        self._total, self._finished = len(checkpoints), done
        if done:
            self.note(f"{done} of {len(checkpoints)} checkpoints are measured already")

    def start_checkpoint(self, checkpoint: Checkpoint, tokens: int) -> None:
        """Start a bar for the checkpoint, on a terminal."""
        self._started = time.monotonic()
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            text = f"[{self._finished + 1}/{self._total}] {printable(str(checkpoint))}".replace("[", "\\[")
            self._task = self._bar.add_task(text, total=tokens or None, unit="tokens")

    def advance(self, tokens: int) -> None:
        """Move the bar on by some tokens."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, tokens)

    def report_training(self, text: str, done: int, total: int) -> None:
        """Show the number of tokens trained on, and the text with the loss of every rank."""
        if self._bar is None or self._task is None:
            self.note(f"  {done:,} of {total:,} tokens trained: {text}")
        else:
            self._bar.update(self._task, description=text.replace("[", "\\["), completed=done, total=total)

    def finish_checkpoint(self, checkpoint: Checkpoint, status: str, summary: str) -> None:
        """Print one line for the checkpoint."""
        self._finished += 1
        seconds = time.monotonic() - self._started
        self.note(
            f"[{self._finished}/{self._total}] {checkpoint} {status} {seconds:.1f} s{': ' + summary if summary else ''}"
        )
