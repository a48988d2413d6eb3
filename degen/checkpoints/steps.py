"""Training steps: read from the names of revisions, used to order a series and to select some of its checkpoints."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from degen.errors import DegenError

_REVISION = re.compile(
    r"(?:stage(?P<stage>\d+)-)?"
    r"(?:global_step|checkpoint|step|ckpt|iter)[-_]?(?P<step>\d+)"
    r"(?:-tokens(?P<tokens>\d+(?:\.\d+)?)(?P<unit>[KMBT]?))?",
    re.IGNORECASE,
)
MAX_STEPS = 1_000_000  # that a range may name
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


@dataclass(frozen=True)
class RevisionStep:
    """The point of a training that the name of a revision stands for.

    Attributes:
        stage: number of the training stage; 0 where the name has none.
        step: optimiser steps so far.
        tokens_seen: training tokens so far; None where the name does not give them.
    """

    stage: int
    step: int
    tokens_seen: int | None


def parse_revision(revision: str, pattern: str | None = None) -> RevisionStep | None:
    """Return the step that the name of a revision gives; None where the name gives none.

    Names such as `step1000`, `checkpoint-1000`, `global_step1000`, `step1000-tokens4B` and `stage1-step1000-tokens4B`
    are understood, in upper or lower case.

    Args:
        revision: the name.
        pattern: a regular expression to use instead. It must match the whole name and have a group `step`; groups
            `stage`, `tokens` and `unit` (K, M, B or T) may be there as well.

    Raises:
        DegenError: a group of the pattern matches a text that is not a number.
    """
    regex = _REVISION if pattern is None else compile_pattern(pattern)
    match = regex.fullmatch(revision)
    if match is None:
        return None
    groups = match.groupdict()
    try:
        tokens = groups.get("tokens")
        seen = round(float(tokens) * _UNITS[(groups.get("unit") or "").upper()]) if tokens else None
        return RevisionStep(int(groups.get("stage") or 0), int(groups["step"]), seen)
    except (TypeError, ValueError, KeyError):
        values = ", ".join(f"{name} {value!r}" for name, value in groups.items())
        raise DegenError(
            f"--revision-pattern {pattern}: in {revision!r} a group of the pattern matches a text that is not a number "
            f"({values}); correct the pattern"
        ) from None


@lru_cache(maxsize=16)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the text `pattern`, a user's own pattern for the names of revisions, as a compiled regular expression.

    Raises:
        DegenError: the text is not a regular expression, or has no group `step`.
    """
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise DegenError(f"--revision-pattern {pattern}: must be a regular expression of Python ({error})") from error
    if "step" not in regex.groupindex:
        raise DegenError(rf"--revision-pattern {pattern}: a group must match the step; write it as (?P<step>\d+)")
    return regex


def training_order(revision: str, pattern: str | None = None) -> tuple[bool, int, int, str]:
    """Return a key by which `sorted` puts revisions in the order of training: by stage, then step.

    Names that give no step come last, in alphabetical order.

    Args:
        revision: the name of a revision.
        pattern: see `parse_revision`.
    """
    parsed = parse_revision(revision, pattern)
    return (True, 0, 0, revision) if parsed is None else (False, parsed.stage, parsed.step, revision)


def select_steps(steps: Sequence[int], expression: str) -> list[int]:
    """Return those steps of a series that an expression selects.

    For a step that does not exist, the nearest one is selected.

    Args:
        steps: all steps of the series.
        expression: `all`, `log:N` (N of them evenly spaced in log step), or a comma list of steps and of
            ranges `first:last:stride`, the end included.

    Returns:
        The selected steps, ascending, each once.

    Raises:
        DegenError: the expression is not of that form.
    """
    existing = sorted(set(steps))
    if expression == "all":
        return existing
    if expression.startswith("log:"):
        targets = _log_spaced(existing, _whole_number(expression[4:], expression))
    else:
        targets = [float(step) for step in parse_steps(expression)]
    return sorted({min(existing, key=lambda step: (abs(step - t), step)) for t in targets}) if existing else []


def parse_steps(expression: str) -> list[int]:
    """Return the steps that an expression names, a list of steps and ranges such as `0,1000:5000:500`.

    Raises:
        DegenError: the expression has another form.
    """
    return [step for item in expression.split(",") for step in _parse_item(item.strip(), expression)]


def nearest_steps(steps: Sequence[int], expression: str) -> dict[int, int]:
    """Return the steps that `expression` names and that are not in `steps`: a dict, missing step -> the nearest step.

    Steps within a range such as `0:5000:500` are left out.
    """
    single = [item.strip() for item in expression.split(",") if item.strip().isdecimal()]
    return {int(s): select_steps(steps, s)[0] for s in single if steps and int(s) not in steps}


def _log_spaced(existing: Sequence[int], count: int) -> list[float]:
    import numpy as np

    positive = [step for step in existing if step > 0]
    if count < 1:
        raise DegenError("--steps log:N: N must be 1 or more")
    if count == 1 or len(positive) < 2:
        return [float(step) for step in existing[-1:]]
    return [float(step) for step in np.geomspace(positive[0], positive[-1], count)]


def _parse_item(item: str, expression: str) -> list[int]:
    bounds = [_whole_number(part, expression) for part in item.split(":")]
    if len(bounds) == 1:
        return bounds
    if len(bounds) == 3 and bounds[2] > 0 and bounds[0] <= bounds[1]:
        first, last, stride = bounds
        if (last - first) // stride > MAX_STEPS:
            raise DegenError(f"--steps {expression}: names more than {MAX_STEPS:,} steps; use a larger stride")
        return [*range(first, last, stride), last]
    raise DegenError(
        f"--steps {expression}: a range must be first:last:stride, with last above first, as 1000:143000:4000"
    )


def _whole_number(text: str, expression: str) -> int:
    if not text.isdecimal():
        raise DegenError(
            f"--steps {expression}: {text!r} is not a step; write all, log:20, or a list as 0,1000:143000:4000"
        )
    return int(text)
