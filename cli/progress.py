"""The progress of a scan: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

from degen.printable import printable
from degen.scanning.progress import PHASES, Progress, counted
from degen.scanning.series_clock import SeriesClock, format_seconds

from . import output

if TYPE_CHECKING:
    from degen.checkpoints.series import Checkpoint


T = TypeVar("T")

BAR_WIDTH = 12
LONG = 60  # seconds from which on a plain line says how much time is left


class ConsoleProgress(Progress):
    """Progress on stderr: on a terminal a bar for the series and one for the checkpoint, each with the time left.

    Args:
        now: returns the time in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._console = output.stderr()
        self._bar: Any = None
        self._series: Any = None
        self._task: Any = None
        self._checkpoint = ""
        self._tokens = 0
        self._clock = SeriesClock(now)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}", markup=False), BarColumn(BAR_WIDTH),
                TextColumn("{task.fields[amount]}", markup=False), TimeRemainingColumn(), console=self._console,
                transient=True, speed_estimate_period=3600,
            )  # fmt: skip
            self._bar.start()
            self.start_phase("starting")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """Print a plain line."""
        self._console.print(output.fit(printable(text), sys.stderr), markup=False)

    def warn(self, text: str) -> None:
        """Print a line as a warning."""
        self.note(f"warning: {text}")

    def track(self, items: Iterable[T], total: int, noun: str) -> Iterator[T]:
        """Yield the items, with a bar on a terminal, and print their number at the end."""
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        task = self._bar.add_task(noun, total=total, amount="") if self._bar is not None else None
        for done, item in enumerate(items, 1):
            yield item
            if task is not None:
                self._bar.update(task, completed=done, amount=f"{done:,}/{total:,}")
        if task is not None:
            self._bar.remove_task(task)
        self.note(counted(total, noun))

    def start_scan(self, checkpoints: Sequence[Checkpoint], done: int) -> None:
        """Print how many checkpoints are measured already, if any."""
        self._clock.begin(len(checkpoints), done)
        if done:
            self.note(f"{done} of {len(checkpoints)} checkpoints are measured already")
        if self._bar is not None and self._clock.total > 1:
            self._series = self._bar.add_task("all checkpoints", total=self._clock.total, completed=done, amount="")
            self._update_series(0.0)

    def start_phase(self, name: str) -> None:
        """Show what is done now, on a terminal."""
        if self._bar is None:
            return
        if self._task is None:
            self._task = self._bar.add_task("", total=None, amount="")
        text = f"{self._checkpoint} {PHASES.get(name, name)}".strip()
        self._bar.update(self._task, description=text, refresh=True)  # a short phase would never be seen

    def start_checkpoint(self, checkpoint: Checkpoint, tokens: int) -> None:
        """Start a bar for the checkpoint, on a terminal."""
        self._tokens = tokens
        self._clock.begin_checkpoint(tokens)
        self._checkpoint = f"[{self._clock.finished + 1}/{self._clock.total}] {printable(str(checkpoint))}"
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(self._checkpoint, total=tokens or None, amount="")

    def advance(self, tokens: int) -> None:
        """Move the bars on by some tokens."""
        self._clock.advance(tokens)
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, tokens)
            done = next(task.completed for task in self._bar.tasks if task.id == self._task)
            self._bar.update(self._task, amount=_share(done, self._tokens))
            self._update_series(done / self._tokens if self._tokens else 0.0)

    def _update_series(self, share: float) -> None:
        """Set the bar of the series.

        Args:
            share: of the current checkpoint that is done.
        """
        if self._series is not None:
            amount = f"{self._clock.finished}/{self._clock.total} done"
            self._bar.update(self._series, completed=self._clock.finished + min(share, 1.0), amount=amount)

    def report_training(self, text: str, done: int, total: int) -> None:
        """Show the number of tokens trained on, and the text with the loss of every rank."""
        if self._bar is None or self._task is None:
            self.note(f"  {done:,} of {total:,} tokens trained: {text}")
        else:
            self._bar.update(self._task, description=text, completed=done, total=total, amount=_share(done, total))

    def finish_checkpoint(self, checkpoint: Checkpoint, status: str, summary: str) -> None:
        """Print one line for the checkpoint."""
        self._print_finished(checkpoint, status, summary, self._clock.finish_checkpoint())

    def finish_elsewhere(self, checkpoint: Checkpoint, status: str, summary: str, seconds: float) -> None:
        """Print one line for a checkpoint that a worker has measured."""
        self._clock.finish_checkpoint()
        self._print_finished(checkpoint, status, summary, seconds)

    def _print_finished(self, checkpoint: Checkpoint, status: str, summary: str, seconds: float) -> None:
        self._update_series(0.0)
        left = self._clock.seconds_left
        soon = left is None or left < LONG or self._bar is not None  # a bar says it itself
        rest = "" if soon or left is None else f", {format_seconds(left)} left"
        reason = f": {summary}" if summary else ""
        at = f"[{self._clock.finished}/{self._clock.total}]"
        self.note(f"{at} {checkpoint} {status} {seconds:.1f} s{rest}{reason}")


def _share(done: float, total: float) -> str:
    """Return how many tokens of how many are done, in thousands: `12k/50k tokens`."""
    return f"{done / 1000:,.0f}k/{total / 1000:,.0f}k tokens"


@contextmanager
def amount_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that shows what is done now, how much of it is done and how much there is (0 if unknown).

    On a terminal it moves a bar, at most ten times a second; elsewhere it does nothing.
    """
    console = output.stderr()
    if not console.is_terminal:
        yield lambda text, done, total: None
        return
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(BAR_WIDTH),
        TextColumn("{task.fields[amount]}", markup=False), TimeRemainingColumn(),
    )  # fmt: skip
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, amount="")
        shown, last = "", 0.0

        def show(text: str, done: int, total: int) -> None:
            nonlocal shown, last
            if text == shown and time.monotonic() < last + 0.1:
                return
            shown, last = text, time.monotonic()
            amount = _share(done, total) if total else ""
            bar.update(task, description=printable(text), completed=done, total=total or None, amount=amount)

        yield show


def bar_of(items: Sequence[T], noun: str) -> Iterator[T]:
    """Yield items, counted by a bar on a terminal that goes when all are done; elsewhere nothing is printed."""
    console = output.stderr()
    if not console.is_terminal:
        yield from items
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Bar(*columns, console=console, transient=True) as bar:
        yield from bar.track(items, description=noun)
