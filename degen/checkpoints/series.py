"""A series: the ordered checkpoints of one model, and how the names of its revisions are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from degen.errors import DegenError

from .source import Source
from .steps import Mark, place_in_training, read_mark, thin


@dataclass(frozen=True)
class Checkpoint:
    """One state of one model.

    Attributes:
        model: the series' label in the tables.
        revision: the name of a folder, branch or tag; `main` where a folder's name says nothing of a step.
        step: optimiser steps so far, None if unknown.
        tokens_seen: training tokens so far, None if unknown.
        source: where its files are.
    """

    model: str
    revision: str
    step: int | None
    tokens_seen: int | None
    source: Source

    def __str__(self) -> str:
        return f"{self.model}@{self.revision}"


@dataclass(frozen=True)
class Series:
    """The checkpoints of one model in the order of training, and where its tokenizer may lie.

    Attributes:
        model: the label in the tables.
        checkpoints: ordered by stage and step, those without a step last.
        root: the folder that was named, since a tokenizer may lie there; None for a series of the hub.
    """

    model: str
    checkpoints: tuple[Checkpoint, ...]
    root: Path | None

    def thinned(self, expression: str) -> Series:
        """Return the series with the chosen steps only; checkpoints without a step stay."""
        chosen = set(thin([c.step for c in self.checkpoints if c.step is not None], expression))
        kept = tuple(c for c in self.checkpoints if c.step is None or c.step in chosen)
        return replace(self, checkpoints=kept)

    def labelled(self, label: str) -> Series:
        """Return the series under another name."""
        return replace(self, model=label, checkpoints=tuple(replace(c, model=label) for c in self.checkpoints))


@dataclass(frozen=True)
class Grammar:
    """How the names of revisions are read.

    Attributes:
        pattern: a regular expression of the user's own, see `degen.checkpoints.steps.read_mark`.
        tokens_per_step: training tokens of a step, for names that say nothing of tokens; None if unknown.
    """

    pattern: str | None = None
    tokens_per_step: int | None = None

    def mark(self, revision: str) -> Mark | None:
        """Return what a name says; None where it is not a step."""
        return read_mark(revision, self.pattern)

    def checkpoint(self, model: str, revision: str, source: Source) -> Checkpoint:
        """Return a checkpoint, with what its name says of step and tokens."""
        mark = self.mark(revision)
        if mark is None:
            return Checkpoint(model, revision, None, None, source)
        seen = mark.tokens_seen
        if seen is None and self.tokens_per_step is not None:
            seen = mark.step * self.tokens_per_step
        return Checkpoint(model, revision, mark.step, seen, source)

    def series(self, place: str, model: str, members: Sequence[tuple[str, Source]], root: Path | None) -> Series:
        """Return the series of revisions and their sources, in the order of training.

        Raises:
            DegenError: two of them are the same step.
        """
        first: dict[tuple[int, int], str] = {}
        for revision, _ in members:
            if (mark := self.mark(revision)) is not None:
                twin = first.setdefault((mark.stage, mark.step), revision)
                if twin != revision:
                    raise DegenError(
                        f"{place}: {twin} and {revision} are both step {mark.step}; "
                        "move one of them elsewhere, or name only one"
                    )
        checkpoints = [self.checkpoint(model, revision, source) for revision, source in members]
        ordered = sorted(checkpoints, key=lambda c: place_in_training(c.revision, self.pattern))
        return Series(model, tuple(ordered), root)
