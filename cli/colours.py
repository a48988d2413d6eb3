"""Colours of what is printed: for the eye alone, on a terminal, unless NO_COLOR is set; never in a pipe or a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from .table_layout import Part

RESET, BOLD, DIM, RED, GREEN, YELLOW, CYAN = (f"\x1b[{code}m" for code in ("0", "1", "2", "31", "32", "33", "36"))

# of words that are a whole cell, or stand in front of a message
WORDS = {
    **dict.fromkeys(("failed", "error", "saturated", "worse"), RED),
    **dict.fromkeys(("warning", "recovered", "undecided", "undecidable", "incomplete"), YELLOW),
    **dict.fromkeys(("ok", "passed", "not_saturated", "better"), GREEN),
    "duplicate": DIM,
}
BLOCKS = set("▁▂▃▄▅▆▇█ ")


def has_colour(stream: TextIO) -> bool:
    """Return whether what a stream gets is shown in colour: on a terminal, see https://no-color.org."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, part: Part) -> str:
    """Return a text in its colour.

    Args:
        text: a head, the rule beneath the heads, or a cell.
        part: which of them it is.
    """
    if part == "head":
        colour = BOLD
    elif part == "rule":
        colour = DIM
    else:
        colour = CYAN if text.strip() and set(text) <= BLOCKS else WORDS.get(text, "")
    return f"{colour}{text}{RESET}" if colour and text else text
