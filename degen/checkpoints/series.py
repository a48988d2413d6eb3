"""A series: the ordered checkpoints of one model, and how the names of its revisions are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from degen.errors import DegenError

from .source import Source
from .steps import MAX_STEP, RevisionStep, parse_revision, select_steps, training_order


@dataclass(frozen=True)
class Checkpoint:
    """One state of one model.

    Attributes:
        model: the series' label in the tables.
        revision: the name of a folder, branch or tag; `main` where a folder's name gives no step.
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


def has_order(checkpoint: Checkpoint) -> bool:
    """Return whether a checkpoint has its place in training: its step or its tokens are known."""
    return checkpoint.step is not None or checkpoint.tokens_seen is not None


@dataclass(frozen=True)
class Series:
    """The checkpoints of one model in the order of training.

    Attributes:
        model: the label in the tables.
        checkpoints: ordered by stage and step, those without a step last.
        root: the folder that the user named, since a tokenizer may lie in it; None for a series of the hub.
    """

    model: str
    checkpoints: tuple[Checkpoint, ...]
    root: Path | None

    def thinned(self, expression: str) -> Series:
        """Return the series with the steps alone that an expression selects; checkpoints without a step stay."""
        chosen = set(select_steps([c.step for c in self.checkpoints if c.step is not None], expression))
        kept = tuple(c for c in self.checkpoints if c.step is None or c.step in chosen)
        return replace(self, checkpoints=kept)

    def labelled(self, label: str) -> Series:
        """Return the series under another name."""
        return replace(self, model=label, checkpoints=tuple(replace(c, model=label) for c in self.checkpoints))


@dataclass(frozen=True)
class Grammar:
    """How the names of revisions are read.

    Attributes:
        pattern: the user's own regular expression, see `degen.checkpoints.steps.parse_revision`; None for the usual
            names.
        tokens_per_step: training tokens of a step, for names that give no tokens; None if unknown.
    """

    pattern: str | None = None
    tokens_per_step: int | None = None

    def parse(self, revision: str, whole_name: bool = True) -> RevisionStep | None:
        """Return the step or tokens that a name gives; None where it gives neither. See `parse_revision`."""
        return parse_revision(revision, self.pattern, whole_name)

    def checkpoint(self, model: str, revision: str, source: Source) -> Checkpoint:
        """Return a checkpoint with the step and the tokens that its name gives."""
        parsed = self.parse(revision)
        if parsed is None:
            return Checkpoint(model, revision, None, None, source)
        seen = parsed.tokens_seen
        if seen is None and parsed.step is not None and self.tokens_per_step is not None:
            seen = parsed.step * self.tokens_per_step
            if seen > MAX_STEP:
                raise DegenError(
                    f"--tokens-per-step {self.tokens_per_step}: more tokens at {revision} than 64 bits can count"
                )
        return Checkpoint(model, revision, parsed.step, seen, source)

    def series(self, location: str, model: str, members: Sequence[tuple[str, Source]], root: Path | None) -> Series:
        """Return a series in the order of training.

        Args:
            location: the folder or repository, for messages.
            model: the label in the tables.
            members: name and source of every revision.
            root: see `Series`.

        Raises:
            DegenError: two revisions are the same step.
        """
        first: dict[RevisionStep, str] = {}
        for revision, _ in members:
            if (parsed := self.parse(revision)) is not None:
                same = parsed if parsed.step is None else replace(parsed, tokens_seen=None)
                twin = first.setdefault(same, revision)
                if twin != revision:
                    at = f"step {parsed.step}" if parsed.step is not None else f"{parsed.tokens_seen:,} tokens"
                    raise DegenError(
                        f"{location}: {twin} and {revision} are both {at}; move one of them elsewhere, or name only one"
                    )
        checkpoints = [self.checkpoint(model, revision, source) for revision, source in members]
        ordered = sorted(checkpoints, key=lambda c: training_order(c.revision, self.pattern))
        return Series(model, tuple(ordered), root)
