"""One check of an installation: what was found, and what to do where it is bad."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from degen.errors import one_line

Status = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check.

    Attributes:
        check: its name.
        status: `ok`; `warning`, something works less well than it could; `failed`, scans will not work; `skipped`,
            an earlier check failed without which this one cannot run.
        finding: what was found, in one line.
        advice: what to do about it; empty where nothing needs doing.
        facts: the same as values, for programs.
    """

    check: str
    status: Status
    finding: str
    advice: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def run_check(name: str, check: Callable[[], CheckResult], advice: str) -> CheckResult:
    """Return the outcome of a check; one that raises an error has failed, and no error stops the checks behind it.

    Args:
        name: of the check.
        check: the check.
        advice: what to do where it raises an error.
    """
    try:
        return check()
    except Exception as error:
        return CheckResult(name, "failed", one_line(error), advice)


def worst(statuses: list[Status]) -> Status:
    """Return the worst of the statuses of parts of a check; `ok` where there are none."""
    order: tuple[Status, ...] = ("failed", "warning", "skipped", "ok")
    return next((status for status in order if status in statuses), "ok")
