"""Training steps: read from the names of revisions, used to order a series and to select some of its checkpoints."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from degen.errors import DegenError

from .name_grammars import GRAMMARS

MAX_STEPS = 1_000_000  # that an expression may name
MAX_STEP = 2**63 - 1  # of a column of whole numbers
MAX_DIGITS = 4000  # that Python reads as a number
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


@dataclass(frozen=True)
class RevisionStep:
    """The point of a training that the name of a revision stands for; it gives at least a step or tokens.

    Attributes:
        step: optimiser steps so far; None where the name gives tokens alone.
        tokens_seen: training tokens so far, or of the stage so far; None where the name does not give them.
        stage: name of the training stage, as `stage1` or `longctx`; None where the name has none.
        seed: name of the seed; None where the name has none.
        run: which of several runs of one stage, as `ingredient1`; None where the name has none.
    """

    step: int | None = None
    tokens_seen: int | None = None
    stage: str | None = None
    seed: str | None = None
    run: str | None = None

    @property
    def order(self) -> tuple[tuple[int, ...], float, float]:
        """A key to sort by: stage, then step, then tokens.

        Names without a stage come first, then numbered stages, then those of other names (longer contexts and other
        extensions of a training) by the numbers in them.
        """
        step = math.inf if self.step is None else self.step
        return stage_order(self.stage), step, self.tokens_seen or 0

    @property
    def run_name(self) -> str | None:
        """The name of the run, beside that of the model: `ingredient1`, `seed-2`; None for the model's own."""
        return "/".join([*filter(None, [self.run]), *([f"seed-{self.seed}"] if self.seed else [])]) or None


def stage_order(stage: str | None) -> tuple[int, ...]:
    """Return a key to sort stages by."""
    if stage is None:
        return (0,)
    numbers = tuple(int(number) for number in re.findall(r"\d+", stage))
    return (1 if re.fullmatch(r"(?:stage|phase)?\d+", stage, re.IGNORECASE) else 2, *numbers)


def parse_revision(revision: str, pattern: str | None = None, whole_name: bool = True) -> RevisionStep | None:
    """Return the step or the tokens that the name of a revision gives; None where it gives neither.

    Numbers beyond 64 bits count as none. `degen.checkpoints.name_grammars` has the forms of names that are understood.

    Args:
        revision: the name.
        pattern: a regular expression to use instead. It must match the whole name and have a group `step` or `tokens`;
            groups `unit` (of the tokens: K, M, B or T), `stage`, `seed` and `run` may be there as well.
        whole_name: whether the name stands alone; else it is a part of a longer one, and a bare number is no step.

    Raises:
        DegenError: a group of the pattern matches a text that is not a number.
    """
    if pattern is not None:
        match = compile_pattern(pattern).fullmatch(revision)
    else:
        grammars = (grammar for grammar in GRAMMARS if whole_name or not grammar.needs_whole_name)
        match = next(filter(None, (grammar.match(revision) for grammar in grammars)), None)
    if match is None:
        return None
    groups = {name.rstrip("_"): text for name, text in match.groupdict().items() if text}
    try:
        step = int(groups["step"]) * _UNITS[groups.get("step_unit", "").upper()] if "step" in groups else None
        tokens = None
        if "tokens" in groups:
            tokens = round(float(groups["tokens"]) * _UNITS[groups.get("unit", "").upper()])
        if step is None and tokens is None:
            raise ValueError("neither group matches")
    except OverflowError:
        return None
    except (ValueError, KeyError):
        if any(len(text) > MAX_DIGITS for text in groups.values()):
            return None
        values = ", ".join(f"{name} {value!r}" for name, value in groups.items())
        raise DegenError(
            f"--revision-pattern {pattern}: in {revision!r} a group of the pattern matches a text that is not a number "
            f"({values}); correct the pattern"
        ) from None
    if max(step or 0, tokens or 0) > MAX_STEP:
        return None
    return RevisionStep(step, tokens, groups.get("stage"), groups.get("seed"), groups.get("run"))


@lru_cache(maxsize=16)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the text `pattern`, a user's own pattern for the names of revisions, as a compiled regular expression.

    Raises:
        DegenError: the text is not a regular expression, or has neither a group `step` nor one `tokens`.
    """
    try:
        regex = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:  # of many groups within groups, of huge counts
        raise DegenError(f"--revision-pattern {pattern}: must be a regular expression of Python ({error})") from error
    if not {"step", "tokens"} & set(regex.groupindex):
        raise DegenError(rf"--revision-pattern {pattern}: a group must match the step; write it as (?P<step>\d+)")
    return regex


class TrainingPoint(NamedTuple):
    """The point of a training at which a checkpoint was taken; see `degen.checkpoints.series.Checkpoint`."""

    stage: str | None
    step: int | None
    tokens_seen: int | None
    revision: str


def order_of_training(points: Sequence[TrainingPoint]) -> list[int]:
    """Return the indices of the checkpoints of one model in the order of training.

    Order: by stage, step, and tokens; by tokens first where all are known and a stage counts a step twice, as it does
    where steps begin anew and nothing names the stages. Those with neither step nor tokens come last, in alphabetical
    order.
    """
    known = [p for p in points if p.step is not None or p.tokens_seen is not None]
    steps = [(p.stage, p.step) for p in known if p.step is not None]
    by_tokens = len(set(steps)) < len(steps) and all(p.tokens_seen is not None for p in known)

    def key(i: int) -> tuple[bool, int, tuple[tuple[int, ...], float, float], str]:
        p = points[i]
        order = RevisionStep(p.step, p.tokens_seen, p.stage).order
        unknown = p.step is None and p.tokens_seen is None
        return unknown, (p.tokens_seen or 0) if by_tokens else 0, order, p.revision

    return sorted(range(len(points)), key=key)


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
    return sorted({_nearest(existing, target) for target in targets}) if existing else []


def _nearest(existing: Sequence[int], target: float) -> int:
    """Return the one of the ascending steps `existing` that is nearest to `target`; of two equally near, the first."""
    i = bisect_left(existing, target)
    return min(existing[max(i - 1, 0) : i + 1], key=lambda step: (abs(step - target), step))


def parse_steps(expression: str) -> list[int]:
    """Return the steps that an expression names, a list of steps and ranges such as `0,1000:5000:500`.

    Raises:
        DegenError: the expression has another form.
    """
    steps: list[int] = []
    for item in expression.split(","):
        steps += _parse_item(item.strip(), expression)
        _check_count(len(steps), expression)
    return steps


def nearest_steps(steps: Sequence[int], expression: str) -> dict[int, int]:
    """Return the steps that `expression` names and that are not in `steps`: a dict, missing step -> the nearest step.

    Steps within a range such as `0:5000:500` are left out.
    """
    single = [item.strip() for item in expression.split(",") if item.strip().isdecimal() and len(item.strip()) <= 18]
    return {int(s): select_steps(steps, s)[0] for s in single if steps and int(s) not in steps}


def _log_spaced(existing: Sequence[int], count: int) -> list[float]:
    import numpy as np

    positive = [step for step in existing if step > 0]
    if count < 1:
        raise DegenError("--steps log:N: N must be 1 or more")
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
    raise DegenError(
        f"--steps {expression}: a range must be first:last:stride, first ≤ last and stride ≥ 1, as 1000:143000:4000"
    )


def _check_count(count: int, expression: str) -> None:
    if count > MAX_STEPS:
        raise DegenError(f"--steps {expression[:60]}: names more than {MAX_STEPS:,} steps; use a larger stride")


def _whole_number(text: str, expression: str) -> int:
    if not text.isdecimal():
        raise DegenError(
            f"--steps {expression}: {text!r} is not a step; write all, log:20, or a list as 0,1000:143000:4000"
        )
    if len(text) > 18:
        raise DegenError(f"--steps {expression[:60]}: {text[:24]}… is too large; a step must have at most 18 digits")
    return int(text)
