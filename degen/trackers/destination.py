"""Where a run goes: `tensorboard:DIR`, `wandb:project=x`, `trackio:project=x`, `mlflow:experiment=x`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from degen.errors import DegenError, one_line
from degen.readers.records import counted

from .tracked_series import TrackedSeries, tracked_series

if TYPE_CHECKING:
    from degen.runs.run import Run


@dataclass(frozen=True)
class TrackerKind:
    """A tracker that a run can be replayed into.

    Attributes:
        module: of this package, with `write(series, options) -> list[str]`.
        options: what may stand behind its colon, the first of which needs no name.
        needed: the options without which it does not work.
        example: a whole destination.
    """

    module: str
    options: tuple[str, ...]
    needed: tuple[str, ...] = ()
    example: str = ""


KINDS = {
    "tensorboard": TrackerKind("tensorboard_events", ("folder",), ("folder",), "tensorboard:runs/tb"),
    "wandb": TrackerKind("wandb_runs", ("project", "entity", "dir"), ("project",), "wandb:project=degeneration"),
    "trackio": TrackerKind("trackio_runs", ("project", "space_id"), ("project",), "trackio:project=degeneration"),
    "mlflow": TrackerKind("mlflow_runs", ("experiment", "uri"), ("experiment",), "mlflow:experiment=degeneration"),
}


@dataclass(frozen=True)
class Destination:
    """A tracker and what in it.

    Attributes:
        tracker: one of `KINDS`.
        options: of that tracker, by name.
    """

    tracker: str
    options: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse a tracker whose package is not installed, before anything is measured.

        Raises:
            DegenError: it names the extra.
        """
        if find_spec(self.tracker) is None:
            raise DegenError(f"{self.tracker}: it needs an extra: pip install 'degen-lm[{self.tracker}]'")

    def send(self, run: Run, note: Callable[[str], None]) -> None:
        """Replay a run into the tracker: a row for each checkpoint at its training step; what is there stays once.

        Args:
            run: the run.
            note: called with a line for each series.

        Raises:
            DegenError: the tracker is not installed, or takes no rows; whatever it raises is in the message.
        """
        self.check()
        series = tracked_series(run)
        try:
            lines = _writer(self.tracker)(series, self.options)
        except DegenError:
            raise
        except Exception as error:  # of any library, over any network
            raise DegenError(f"{self.tracker}: {one_line(error)}") from error
        for line in lines:
            note(f"{self.tracker}: {line}")
        for one in series:
            if one.without_step:
                left_out = counted(one.without_step, "checkpoints without a step, and so without a row")
                note(f"{self.tracker}: {one.name}: {left_out}")


def _writer(tracker: str) -> Callable[[Sequence[TrackedSeries], Mapping[str, str]], list[str]]:
    write: Callable[[Sequence[TrackedSeries], Mapping[str, str]], list[str]]
    write = import_module(f"degen.trackers.{KINDS[tracker].module}").write
    return write


def is_destination(text: str) -> bool:
    """Return whether a text names a tracker, and no file."""
    return text in KINDS or (":" in text and text.partition(":")[0] in KINDS)


def parse_destination(option: str, text: str) -> Destination:
    """Return the destination that a text such as `wandb:project=x,entity=y` names.

    Args:
        option: name of the option, for messages.
        text: the tracker, a colon, and its options; that of one option alone may leave out its name.

    Raises:
        DegenError: there is no such tracker, it has no such option, or one that it needs is missing.
    """
    tracker, _, rest = text.partition(":")
    if tracker not in KINDS:
        examples = ", ".join(kind.example for kind in KINDS.values())
        raise DegenError(f"{option} {text}: names no tracker; write one as {examples}")
    kind = KINDS[tracker]
    options: dict[str, str] = {}
    parts = [rest] if len(kind.options) == 1 else rest.split(",")  # a folder may hold commas
    for number, part in enumerate(filter(None, parts)):
        name, equals, value = part.partition("=")
        if number == 0 and name not in kind.options and (not equals or len(kind.options) == 1):
            name, equals, value = kind.options[0], "=", part
        if name not in kind.options or not equals or not value:
            known = ", ".join(f"{name}=" for name in kind.options)
            raise DegenError(f"{option} {text}: {part!r} is none of {known}; write it as {kind.example}")
        options[name] = value
    for name in kind.needed:
        if name not in options:
            raise DegenError(f"{option} {text}: names no {name}; write it as {kind.example}")
    return Destination(tracker, options)
