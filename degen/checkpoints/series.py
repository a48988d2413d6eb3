"""A series: the ordered checkpoints of one model, and how the names of its revisions are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from degen.errors import DegenError

from .source import Source
from .stages import tokens_over_stages
from .steps import MAX_STEP, RevisionStep, TrainingPoint, order_of_training, parse_revision, select_steps


@dataclass(frozen=True)
class Checkpoint:
    """One state of one model.

    Attributes:
        model: the series' label in the tables.
        revision: the name of a folder, branch or tag; `main` where a folder's name gives no step.
        step: optimiser steps so far, None if unknown.
        tokens_seen: training tokens so far, None if unknown.
        source: where its files are.
        stage: name of the training stage, as its name says; None where it says none.
        seed: name of the seed; None where its name says none.
        run_name: which of several runs of the model it is of, as `ingredient1`; None for the model's own.
    """

    model: str
    revision: str
    step: int | None
    tokens_seen: int | None
    source: Source
    stage: str | None = None
    seed: str | None = None
    run_name: str | None = None

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
        checkpoints: in the order of training, those without step and tokens last.
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

    def runs(self) -> list[Series]:
        """Return the series of each run of the model, as `model` and `model/ingredient1`, in the order of training."""
        runs: dict[str | None, list[Checkpoint]] = {}
        for checkpoint in self.checkpoints:
            runs.setdefault(checkpoint.run_name, []).append(checkpoint)
        if list(runs) == [None]:
            return [self]
        series = []
        for name, members in runs.items():
            model = self.model if name is None else f"{self.model}/{name}"
            points = [TrainingPoint(c.stage, c.step, c.tokens_seen, c.revision) for c in members]
            ordered = (members[i] for i in order_of_training(points))
            series.append(replace(self, model=model, checkpoints=tuple(replace(c, model=model) for c in ordered)))
        return series

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
        tokens_per_step_by_stage: the same by stage, where stages differ.
    """

    pattern: str | None = None
    tokens_per_step: int | None = None
    tokens_per_step_by_stage: Mapping[str, int] = field(default_factory=dict)

    def parse(self, revision: str, whole_name: bool = True) -> RevisionStep | None:
        """Return the step or tokens that a name gives; None where it gives neither. See `parse_revision`."""
        return parse_revision(revision, self.pattern, whole_name)

    def checkpoint(self, model: str, revision: str, source: Source) -> Checkpoint:
        """Return a single checkpoint with what its name gives.

        Raises:
            DegenError: more tokens than 64 bits can count.
        """
        return self._checkpoints(model, [(revision, source)], ())[0]

    def _checkpoints(
        self, model: str, members: Sequence[tuple[str, Source]], others: Iterable[str]
    ) -> list[Checkpoint]:
        """Return checkpoints with what their names give; see `series`."""
        names = dict.fromkeys([*others, *(revision for revision, _ in members)])
        known = {name: parsed for name in names if (parsed := self.parse(name)) is not None}
        tokens = tokens_over_stages(known, self.tokens_per_step_in)
        for revision, _ in members:
            if (tokens.get(revision) or 0) > MAX_STEP:
                raise DegenError(
                    f"--tokens-per-step {self.tokens_per_step}: more tokens at {revision} than 64 bits can count"
                )
        unknown = RevisionStep()
        return [
            Checkpoint(model, name, p.step, tokens.get(name), source, p.stage, p.seed, p.run_name)
            for name, source in members
            for p in [known.get(name, unknown)]
        ]

    def tokens_per_step_in(self, stage: str | None) -> int | None:
        """Return the training tokens of a step in a stage; None if unknown."""
        return self.tokens_per_step_by_stage.get(stage or "", self.tokens_per_step)

    def series(
        self,
        location: str,
        model: str,
        members: Sequence[tuple[str, Source]],
        root: Path | None,
        others: Iterable[str] = (),
    ) -> Series:
        """Return a series in the order of training; it may be of several runs, see `Series.runs`.

        Args:
            location: the folder or repository, for messages.
            model: the label in the tables.
            members: name and source of every revision.
            root: see `Series`.
            others: names of other revisions of the model, by which the tokens of earlier stages are known.

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
        checkpoints = self._checkpoints(model, members, others)
        points = [TrainingPoint(c.stage, c.step, c.tokens_seen, c.revision) for c in checkpoints]
        return Series(model, tuple(checkpoints[i] for i in order_of_training(points)), root)
