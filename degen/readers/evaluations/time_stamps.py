"""Time stamps in the names of files and folders: neither steps nor parts of a model's name."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_DAY = r"(?P<year>\d{4})(?P<s>[-_.]?)(?P<month>\d\d)(?P=s)(?P<day>\d\d)"
_US_DAY = r"(?P<month>\d\d)(?P<s>[-_.])(?P<day>\d\d)(?P=s)(?P<year>\d{4})"  # the day first where it is above 12
_TIME = r"(?P<hour>\d\d)(?P<c>[-_.:h]?)(?P<minute>\d\d)(?:(?P=c)(?P<second>\d\d)(?:[.,]\d+)?)?(?:Z|[+-]\d\d[-:]?\d\d)?"
_BEFORE, _AFTER = r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])"
_STAMPS = [re.compile(rf"{_BEFORE}(?:{day})(?:[T_\- ]?{_TIME})?{_AFTER}") for day in (_US_DAY, _DAY)]
_STAMPS.append(re.compile(rf"{_BEFORE}(?P<epoch>1[4-9]\d{{8}})(?:\.\d+)?{_AFTER}"))
_STEP_BEFORE = re.compile(r"(?:step|steps|iter|checkpoint|ckpt|ba)[-_.]?$", re.IGNORECASE)


def split_time_stamp(name: str) -> tuple[str, float | None]:
    """Return a name without the time stamps in it, and the last of them in seconds since 1970; None without any.

    A stamp is a day, as `2025-05-08`, `20250508` or `11-25-2022`, mostly with a time, as `2025-05-08T12-00-00.1`; or a
    number of seconds since 1970. Its time zone is ignored.

    Args:
        name: the name of a file or folder, without its ending.
    """
    last = None
    for pattern in _STAMPS:
        for match in reversed(list(pattern.finditer(name))):
            seconds = _seconds(match)
            if seconds is None or _STEP_BEFORE.search(name[: match.start()]):
                continue
            last = seconds if last is None else max(last, seconds)
            before, after = name[: match.start()].rstrip("-_. @"), name[match.end() :].lstrip("-_. @")
            name = f"{before}_{after}" if before and after else before + after
    return name, last


def _seconds(match: re.Match[str]) -> float | None:
    """Return the time that a stamp stands for in seconds since 1970; None where there is no such time."""
    parts = match.groupdict()
    if parts.get("epoch") is not None:
        return float(match[0])
    month, day = int(parts["month"]), int(parts["day"])
    if month > 12 and match.re is _STAMPS[0]:
        month, day = day, month
    hour, minute, second = (int(parts[key] or 0) for key in ("hour", "minute", "second"))
    try:
        moment = datetime(int(parts["year"]), month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    fraction = re.search(r"[.,](\d+)(?:Z|[+-]\d\d[-:]?\d\d)?$", match[0]) if parts["second"] else None
    return moment.timestamp() + (float(f"0.{fraction[1]}") if fraction else 0.0) if 1990 <= moment.year < 2100 else None
