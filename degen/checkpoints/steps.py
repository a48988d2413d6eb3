"""Training steps: read from the names of revisions, used to order a series and to select some of its checkpoints."""

from __future__ import annotations

import re
from bisect import bisect_left
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
MAX_STEPS = 1_000_000  # that an expression may name
MAX_STEP = 2**63 - 1  # of a column of whole numbers
MAX_DIGITS = 4000  # that Python reads as a number
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
    """Return the step that the name of a revision gives; None where it gives none, or none that fits 64 bits.

    Names such as `step1000`, `checkpoint-1000`, `global_step1000`, `step1000-tokens4B` and `stage1-step1000-tokens4B`
    are understood, in upper or lower case.

    Args:
        revision: the name.
        pattern: a regular expression to use instead. It must match the whole name and have a group `step`; groups
            `stage`, `tokens` and `unit` (K, M, B or T) may be there as well.

    Raises:
        DegenError: a group of the pattern matches what is not a number.
    """
    regex = _REVISION if pattern is None else compile_pattern(pattern)
    match = regex.fullmatch(revision)
    if match is None:
        return None
    groups = match.groupdict()
    try:
        tokens = groups.get("tokens")
        seen = round(float(tokens) * _UNITS[(groups.get("unit") or "").upper()]) if tokens else None
        stage, step = int(groups.get("stage") or 0), int(groups["step"])
        return RevisionStep(stage, step, seen) if max(stage, step, seen or 0) <= MAX_STEP else None
    except OverflowError:
        return None
    except (TypeError, ValueError, KeyError):
        if any(len(value or "") > MAX_DIGITS for value in groups.values()):
            return None
        values = ", ".join(f"{name} {value!r}" for name, value in groups.items())
        raise DegenError(
            f"--revision-pattern {pattern}: its groups match what is not a number in {revision!r} ({values})"
        ) from None


@lru_cache(maxsize=16)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return a user's own pattern for the names of revisions as a compiled regular expression.

    Raises:
        DegenError: it is not a regular expression, or has no group `step`.
    """
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise DegenError(f"--revision-pattern {pattern}: not a regular expression ({error})") from error
    if "step" not in regex.groupindex:
        raise DegenError(rf"--revision-pattern {pattern}: has no group for the step; write it as (?P<step>\d+)")
    return regex


def training_order(revision: str, pattern: str | None = None) -> tuple[bool, int, int, str]:
    """Return a key to sort revisions by: stage, then step; names that give no step come last, in alphabetical order."""
    parsed = parse_revision(revision, pattern)
    return (True, 0, 0, revision) if parsed is None else (False, parsed.stage, parsed.step, revision)


def select_steps(steps: Sequence[int], expression: str) -> list[int]:
    """Return the steps of a series that an expression selects; for a step that does not exist, the nearest one.

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
    return sorted({_nearest(existing, target) for target in targets}) if existing else []


def _nearest(existing: Sequence[int], target: float) -> int:
    """Return the nearest of some ascending steps, of two the first."""
    i = bisect_left(existing, target)
    return min(existing[max(i - 1, 0) : i + 1], key=lambda step: (abs(step - target), step))


def parse_steps(expression: str) -> list[int]:
    """Return the steps that a comma list of steps and ranges names.

    Raises:
        DegenError: the expression is not of that form.
    """
    steps: list[int] = []
    for item in expression.split(","):
        steps += _parse_item(item.strip(), expression)
        _check_count(len(steps), expression)
    return steps


def nearest_steps(steps: Sequence[int], expression: str) -> dict[int, int]:
    """Return the steps that an expression names one by one and that do not exist, each with the nearest that does."""
    single = [item.strip() for item in expression.split(",") if item.strip().isdecimal() and len(item.strip()) <= 18]
    return {int(s): select_steps(steps, s)[0] for s in single if steps and int(s) not in steps}


def _log_spaced(existing: Sequence[int], count: int) -> list[float]:
    import numpy as np

    positive = [step for step in existing if step > 0]
    if count < 1:
        raise DegenError("--steps log:N needs N of at least 1")
    _check_count(count, f"log:{count}")
    if count == 1 or len(positive) < 2:
        return [float(step) for step in existing[-1:]]
    return [float(step) for step in np.geomspace(positive[0], positive[-1], count)]


def _parse_item(item: str, expression: str) -> list[int]:
    bounds = [_whole_number(part, expression) for part in item.split(":")]
    if len(bounds) == 1:
        return bounds
    if len(bounds) == 3 and bounds[2] > 0 and bounds[0] <= bounds[1]:
        first, last, stride = bounds
        _check_count((last - first) // stride, expression)
        return [*range(first, last, stride), last]
    raise DegenError(f"--steps {expression}: a range is first:last:stride, rising, as in 1000:143000:4000")


def _check_count(count: int, expression: str) -> None:
    if count > MAX_STEPS:
        raise DegenError(f"--steps {expression[:60]}: names more than {MAX_STEPS:,} steps; take a longer stride")


def _whole_number(text: str, expression: str) -> int:
    if not text.isdecimal():
        raise DegenError(
            f"--steps {expression}: {text!r} is not a step; use all, log:20, or a list as in 0,1000:143000:4000"
        )
    if len(text) > 18:
        raise DegenError(f"--steps {expression[:60]}: {text[:24]}… is too large for a step")
    return int(text)
