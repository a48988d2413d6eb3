"""Hints for a user who wrote a name that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_LISTED = 12  # names that a hint lists before it only counts the rest


def closest(name: str, names: Iterable[str]) -> str | None:
    """Return the name most like another one, whatever the case of its letters; None where none is alike."""
    lowered = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=1)
    return lowered[close[0]] if close else None


def some_names(names: Iterable[str], most: int = 3) -> str:
    """Return names separated by commas, at most `most` of them, and how many more there are."""
    every = list(names)
    more = len(every) - most
    return ", ".join(every[:most]) + (f" and {more} more" if more > 0 else "")


def there_are(names: Iterable[str]) -> str:
    """Return a phrase that lists names, `there are loss, acc` or `there are none`, the first dozen of many."""
    choices = list(dict.fromkeys(names))
    return f"there are {some_names(choices, MAX_LISTED)}" if choices else "there are none"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a hint on a name that is not there: the closest of some names, or else what they are.

    Args:
        name: what the user wrote.
        names: what there is to choose from, in the order to list it in.

    Returns:
        A phrase without a full stop: `did you mean 'loss'?`, `there are loss, acc` or `there are none`.
    """
    choices = list(names)
    close = closest(name, choices)
    return f"did you mean {close!r}?" if close is not None else there_are(choices)
