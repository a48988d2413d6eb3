"""From what a user names to a series: the ordered checkpoints of one model."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from degen.errors import DegenError

from .source import Source
from .steps import Mark, place_in_training, read_mark, replaced, thin


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
        """The series with the chosen steps only; checkpoints without a step stay."""
        chosen = set(thin([c.step for c in self.checkpoints if c.step is not None], expression))
        kept = tuple(c for c in self.checkpoints if c.step is None or c.step in chosen)
        return replace(self, checkpoints=kept)

    def labelled(self, label: str) -> Series:
        """The series under another name."""
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
        """What a name says; None where it is not a step."""
        return read_mark(revision, self.pattern)

    def checkpoint(self, model: str, revision: str, source: Source) -> Checkpoint:
        """A checkpoint, with what its name says of step and tokens."""
        mark = self.mark(revision)
        if mark is None:
            return Checkpoint(model, revision, None, None, source)
        seen = mark.tokens_seen
        if seen is None and self.tokens_per_step is not None:
            seen = mark.step * self.tokens_per_step
        return Checkpoint(model, revision, mark.step, seen, source)

    def series(self, place: str, model: str, members: Sequence[tuple[str, Source]], root: Path | None) -> Series:
        """The series of revisions and their sources, in the order of training.

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


def find_series(
    specs: Sequence[str],
    steps: str = "all",
    note: Callable[[str], None] = lambda _: None,
    grammar: Grammar = Grammar(),
    trust: bool = False,
) -> list[Series]:
    """Find every series the user named, thinned to the steps asked for.

    Args:
        specs: what CONTRACT calls SERIES, each perhaps with a `label=` in front.
        steps: the thinning, see `degen.checkpoints.steps.thin`.
        note: told of steps that do not exist, and of the nearest taken for them.
        grammar: how names of revisions are read.
        trust: whether Python code of a repository may run, and so is fetched.

    Raises:
        DegenError: nothing there, no checkpoint in it, two steps alike, or two series of one name.
    """
    named = [(spec, series) for spec in specs for series in _find(spec, grammar, trust)]
    for _, series in named:
        for asked, taken in replaced([c.step for c in series.checkpoints if c.step is not None], steps).items():
            note(f"{series.model}: there is no step {asked}; step {taken} is the nearest")
    seen: dict[str, str] = {}
    for spec, series in named:
        if series.model in seen:
            raise DegenError(
                f"{seen[series.model]} and {spec} would both be called {series.model!r} in the tables; "
                f"name one of them: other={spec}"
            )
        seen[series.model] = spec
    return [series.thinned(steps) for _, series in named]


def split_label(spec: str) -> tuple[str | None, str]:
    """The label in front of a spec, None without one, and the rest. An existing path has none, nor have two of them.

    Raises:
        DegenError: a label without a name, or without a series.
    """
    from .adapter_series import are_paths

    label, equals, rest = spec.partition("=")
    if not equals or Path(spec).expanduser().exists() or are_paths(spec):
        return None, spec
    if not label or not rest:
        raise DegenError(f"{spec!r}: a label is written label=SERIES")
    return label, rest


def _find(spec: str, grammar: Grammar, trust: bool) -> list[Series]:
    """An existing path wins over an adapter on its base, that over a suite, and a suite over the hub."""
    label, name = split_label(spec)
    found = _find_unlabelled(name, grammar, trust)
    if label is None:
        return found
    if len(found) > 1:
        raise DegenError(f"{spec}: a label names one series, and {name} is {len(found)}")
    return [found[0].labelled(label)]


def _find_unlabelled(name: str, grammar: Grammar, trust: bool) -> list[Series]:
    from .adapter_series import on_base, on_own_bases, split_adapter

    find = partial(_find_plain, grammar=grammar, trust=trust)
    if Path(name).expanduser().exists():
        return [on_own_bases(series, find) for series in find(name)]
    if (pair := split_adapter(name)) is None:
        return find(name)
    return [on_base(*pair, find)]


def _find_plain(name: str, grammar: Grammar, trust: bool) -> list[Series]:
    """The series of a name that has no adapter in it."""
    from .hub_series import from_hub, is_hub_name
    from .local import from_path
    from .suites import from_suite, is_suite, suite_names

    path = Path(name).expanduser()
    if path.exists():
        return [from_path(path, grammar)]
    if is_suite(name):
        return from_suite(name, grammar, trust)
    if is_hub_name(name):
        return [from_hub(name, grammar, trust)]
    close = difflib.get_close_matches(name.partition(":")[0], suite_names(), n=1)
    raise DegenError(f"{name}: no such folder or file" + (f"; did you mean the suite {close[0]}?" if close else ""))
