"""Grids of values, as `NL=4:8:16,DM=512`: every combination of the values of each name."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from degen.errors import DegenError

MAX_COMBINATIONS = 10_000

Grid = Mapping[str, Sequence[str]]  # name -> its values, in the order they are written


def parse_grid(option: str, text: str, example: str) -> dict[str, list[str]]:
    """Return names and their values from a text such as `NL=4:8:16,DM=512`; a value that occurs twice counts once.

    Args:
        option: name of the option, for messages.
        text: its value.
        example: a valid value, for messages.

    Raises:
        DegenError: the text has another form, or a name occurs twice.
    """
    grid: dict[str, list[str]] = {}
    for part in text.split(","):
        name, equals, values = (piece.strip() for piece in part.partition("="))
        choices = [value.strip() for value in values.split(":")]
        if not (name and equals and all(choices)):
            raise DegenError(f"{option} {text}: {part.strip()!r} must be a name and its values, as in {example}")
        if name in grid:
            raise DegenError(f"{option} {text}: {name} occurs twice; name it once, with its values as in {example}")
        grid[name] = list(dict.fromkeys(choices))
    return grid


def count_combinations(grid: Grid) -> int:
    """Return how many combinations a grid has."""
    return math.prod(len(values) for values in grid.values())


def check_size(count: int, option: str) -> None:
    """Refuse a grid that is too large, before it is made.

    Args:
        count: of its combinations.
        option: that names it, for the message.

    Raises:
        DegenError: there are more than `MAX_COMBINATIONS`.
    """
    if count > MAX_COMBINATIONS:
        raise DegenError(
            f"{option}: a grid of {count:,} models; at most {MAX_COMBINATIONS:,} fit, leave out some values"
        )


def combinations(grid: Grid) -> Iterator[dict[str, str]]:
    """Yield every combination of the values of a grid; the last name varies fastest."""
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))
