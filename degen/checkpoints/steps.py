"""Training steps: read them off a revision's name, order by them, thin a series to a few."""

from __future__ import annotations

import math
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
MOST_STEPS = 1_000_000
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Mark:
    """What a revision's name says: stage (0 where none), step, tokens seen (None where unsaid)."""

    stage: int
    step: int
    tokens_seen: int | None


def read_mark(revision: str, pattern: str | None = None) -> Mark | None:
    """Read the step off a revision's name; None where the name is not a step.

    Understood are `step1000`, `checkpoint-1000`, `global_step1000`, `step1000-tokens4B` and
    `stage1-step1000-tokens4B`, in any case. A pattern takes their place: a regular expression for the whole name with
    a group `step`, and perhaps `stage`, `tokens` and `unit` (K, M, B, T).
    """
    match = _REVISION.fullmatch(revision) if pattern is None else compiled(pattern).fullmatch(revision)
    if match is None:
        return None
    found = match.groupdict()
    try:
        tokens = found.get("tokens")
        seen = round(float(tokens) * _UNITS[(found.get("unit") or "").upper()]) if tokens else None
        return Mark(int(found.get("stage") or 0), int(found["step"]), seen)
    except (TypeError, ValueError, KeyError):
        raise DegenError(
            f"--revision-pattern {pattern}: what it takes for numbers in {revision!r} are none "
            f"({', '.join(f'{name} {value!r}' for name, value in found.items())})"
        ) from None


@lru_cache(maxsize=16)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return a revision pattern of the user's own.

    Raises:
        DegenError: not a regular expression, or one without a group `step`.
    """
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise DegenError(f"--revision-pattern {pattern}: not a regular expression ({error})") from error
    if "step" not in found.groupindex:
        raise DegenError(rf"--revision-pattern {pattern}: has no group for the step; write it as (?P<step>\d+)")
    return found


def place_in_training(revision: str, pattern: str | None = None) -> tuple[bool, int, int, str]:
    """Return what orders the revisions of a series: stage, then step; names that are no step come last, by name."""
    mark = read_mark(revision, pattern)
    return (True, 0, 0, revision) if mark is None else (False, mark.stage, mark.step, revision)


def thin(steps: Sequence[int], expression: str) -> list[int]:
    """Choose steps of a series by an expression; what does not exist becomes its nearest, once.

    Args:
        steps: the steps there are.
        expression: `all`, `log:N` (N of them evenly spaced in log step), or a comma list of steps and of
            ranges `first:last:stride`, the end included.

    Returns:
        The chosen steps, ascending, each once.

    Raises:
        DegenError: the expression is not of that form.
    """
    there = sorted(set(steps))
    if expression == "all":
        wanted: list[float] = [float(s) for s in there]
    elif expression.startswith("log:"):
        wanted = _log_spaced(there, _whole(expression[4:], expression))
    else:
        wanted = [float(s) for s in listed(expression)]
    return sorted({min(there, key=lambda s: (abs(s - w), s)) for w in wanted}) if there else []


def listed(expression: str) -> list[int]:
    """Return the steps that a comma list of steps and ranges names.

    Raises:
        DegenError: the expression is not of that form.
    """
    return [step for item in expression.split(",") for step in _listed(item.strip(), expression)]


def replaced(steps: Sequence[int], expression: str) -> dict[int, int]:
    """Return the steps asked for one by one that do not exist, and the nearest that stands for each."""
    single = [item.strip() for item in expression.split(",") if item.strip().isdecimal()]
    return {int(s): thin(steps, s)[0] for s in single if steps and int(s) not in steps}


def _log_spaced(there: Sequence[int], count: int) -> list[float]:
    positive = [s for s in there if s > 0]
    if count < 1:
        raise DegenError("--steps log:N needs N of at least 1")
    if count == 1 or len(positive) < 2:
        return [float(s) for s in there[-1:]]
    low, high = math.log(positive[0]), math.log(positive[-1])
    return [math.exp(low + (high - low) * i / (count - 1)) for i in range(count)]


def _listed(item: str, expression: str) -> list[int]:
    bounds = [_whole(part, expression) for part in item.split(":")]
    if len(bounds) == 1:
        return bounds
    if len(bounds) == 3 and bounds[2] > 0 and bounds[0] <= bounds[1]:
        first, last, stride = bounds
        if (last - first) // stride > MOST_STEPS:
            raise DegenError(f"--steps {expression}: names more than {MOST_STEPS:,} steps; take a longer stride")
        return [*range(first, last, stride), last]
    raise DegenError(f"--steps {expression}: a range is first:last:stride, rising, as in 1000:143000:4000")


def _whole(text: str, expression: str) -> int:
    if not text.isdecimal():
        raise DegenError(
            f"--steps {expression}: {text!r} is not a step; use all, log:20, or a list as in 0,1000:143000:4000"
        )
    return int(text)
