"""The rank or scale of one module, by the patterns of an adapter's configuration, which strangers wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from degen.errors import CheckpointError

MAX_LENGTH, MAX_QUANTIFIERS = 200, 4
_QUANTIFIED_GROUP = re.compile(r"\)[*+?{]")


def value_for(patterns: Any, module: str, default: Any, option: str) -> Any:
    """Return the value of the first pattern that a module's name ends with; the default where none matches.

    Formula: as PEFT does, the pattern is a regular expression for the name, or for its end behind a full stop.

    Args:
        patterns: pattern -> value; None for none.
        module: name of the module.
        default: the value of all others.
        option: the name of the entry, for messages.

    Raises:
        CheckpointError: a pattern is none, or could take forever to be searched for.
    """
    if not isinstance(patterns, Mapping):
        return default
    for pattern, value in patterns.items():
        if len(pattern) > MAX_LENGTH or _quantifiers(pattern) > MAX_QUANTIFIERS or _QUANTIFIED_GROUP.search(pattern):
            raise CheckpointError(f"{option}: the pattern {pattern[:60]!r} is too involved; write names of modules")
        try:
            if re.match(rf"(?:.*\.)?(?:{pattern})$", module):
                return value
        except (re.error, RecursionError, OverflowError) as error:
            raise CheckpointError(f"{option}: {pattern[:60]!r} is no pattern ({error})") from error
    return default


def _quantifiers(pattern: str) -> int:
    return len(re.findall(r"(?<!\\)[*+?{]", pattern))
