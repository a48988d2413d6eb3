"""Training tokens over several stages, in each of which names may count steps and tokens anew."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from .steps import RevisionStep, stage_order

Parsed = Mapping[str, RevisionStep]
_FIRST = re.compile(r"(?:stage|phase)?[01]", re.IGNORECASE)  # a stage that no other comes before


def tokens_over_stages(parsed: Parsed, per_step: Callable[[str | None], int | None]) -> dict[str, int | None]:
    """Return the training tokens that a model has seen at each revision, over all stages so far; None if unknown.

    Formula: the tokens of the stage, which the name gives or else its step times the tokens of a step, and, where a
    stage counts anew, the tokens at the last revision of the stage before. A run of its own, as one of several
    ingredients, goes on from the stages that are common to all runs.

    Args:
        parsed: name of a revision -> what it gives.
        per_step: returns the training tokens of a step in a stage; None if unknown.
    """
    groups: dict[tuple[str | None, str | None], dict[str, RevisionStep]] = {}
    for name, revision in parsed.items():
        groups.setdefault((revision.run, revision.seed), {})[name] = revision
    total: dict[str, int | None] = {}
    for (run, seed), own in groups.items():
        common = groups.get((None, seed), {}) if run is not None else {}
        sums = _add_up({**common, **own}, per_step)
        total |= {name: sums[name] for name in own}
    return total


def _add_up(parsed: Parsed, per_step: Callable[[str | None], int | None]) -> dict[str, int | None]:
    """Return the tokens at each revision of one run, over all of its stages."""
    stages: dict[str | None, list[str]] = {}
    for name in sorted(parsed, key=lambda n: parsed[n].order):
        stages.setdefault(parsed[name].stage, []).append(name)
    total: dict[str, int | None] = {}
    begun_with: int | None = 0  # tokens before the first step that the stage counts
    last: str | None = None
    for stage in sorted(stages, key=stage_order):
        first = stages[stage][0]
        if last is not None and not _FIRST.fullmatch(stage or "") and _counts_anew(parsed[last], parsed[first]):
            begun_with = total[last]
        for name in stages[stage]:
            of_stage = _of_stage(parsed[name], per_step(stage))
            total[name] = None if of_stage is None or begun_with is None else begun_with + of_stage
        last = stages[stage][-1]
    return total


def _of_stage(revision: RevisionStep, per_step: int | None) -> int | None:
    """Return the tokens that a revision counts, by its name or by its step."""
    if revision.tokens_seen is not None:
        return revision.tokens_seen
    return revision.step * per_step if revision.step is not None and per_step is not None else None


def _counts_anew(last: RevisionStep, first: RevisionStep) -> bool:
    """Return whether the first revision of a stage counts less than the last one of the stage before."""
    if last.step is not None and first.step is not None:
        return first.step <= last.step
    if last.tokens_seen is not None and first.tokens_seen is not None:
        return first.tokens_seen < last.tokens_seen
    return False
