"""The content of one result file, whichever program wrote it: scores, settings, and what was evaluated."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

MAX_COUNT = 2**53  # of examples or questions


@dataclass(frozen=True)
class Score:
    """A metric of a task at one checkpoint.

    Attributes:
        task: name of the task, of a group of tasks, or of an average.
        metric: name of the metric; a filter other than `none` stands behind it, as in `exact_match,strict-match`.
        value: the value.
        stderr: its standard error; None if unknown.
        num_fewshot: how many examples stood before each question; None if unknown.
        limit: how many questions at most were asked, or, below 1, which share of them; None for all of them.
        suite: the collection that the task was taken from; None where the program does not name any.
        higher_is_better: whether higher values are better; None if the file does not say.
    """

    task: str
    metric: str
    value: float
    stderr: float | None = None
    num_fewshot: int | None = None
    limit: float | None = None
    suite: str | None = None
    higher_is_better: bool | None = None


@dataclass(frozen=True)
class ResultContent:
    """The content of a result file.

    Attributes:
        program: name of the program that wrote it.
        scores: its scores; empty where it holds no number.
        evaluated: path or repository of the model that was evaluated; empty if unknown.
        revision: its revision or subfolder; empty if unknown.
        date: when it was evaluated, in seconds since 1970; None if unknown.
    """

    program: str
    scores: tuple[Score, ...] = field(repr=False)
    evaluated: str = ""
    revision: str = ""
    date: float | None = None


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a number that a float can hold, perhaps NaN, and neither True nor False."""
    is_whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return is_whole or isinstance(value, float)


def entry(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the record under a key; an empty one where there is no record."""
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def text(content: Mapping[str, Any], *keys: str) -> str:
    """Return the first text that is not empty under some keys; an empty text where there is none."""
    values = (content.get(key) for key in keys)
    return next((value for value in values if isinstance(value, str) and value), "")


def whole(value: object) -> int | None:
    """Return a number as a whole one; None where it is no whole number of 0 or more, or too large for a count."""
    return int(value) if is_number(value) and 0 <= value <= MAX_COUNT and value == int(value) else None


def limit_of(value: object) -> float | None:
    """Return a limit on the number of questions; None where there is none."""
    return float(value) if is_number(value) and 0 < value <= MAX_COUNT else None


def moment(value: object) -> float | None:
    """Return a time in seconds since 1970; None where it is none."""
    return float(value) if is_number(value) and 0 < value <= MAX_COUNT else None


def metrics_of(
    values: Mapping[str, Any], no_metrics: tuple[str, ...] = ()
) -> Iterator[tuple[str, float, float | None]]:
    """Yield name, value and standard error (None if unknown) of each metric among the values of a task.

    The standard error of `acc` is `acc_stderr`, that of `acc,none` is `acc_stderr,none`. The filter `none` is dropped
    from the name; any other is kept.

    Args:
        values: name -> value.
        no_metrics: names that are no metrics.
    """
    for key, value in values.items():
        metric, comma, kept = key.partition(",")
        if metric in no_metrics or metric.endswith("_stderr") or not is_number(value):
            continue
        error = values.get(f"{metric}_stderr{comma}{kept}")  # "N/A" where there is none
        yield metric if kept in ("", "none") else key, float(value), float(error) if is_number(error) else None
