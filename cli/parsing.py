"""Parsers of option values that several commands use; a mistake names the option and what it should look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from degen.errors import DegenError

T = TypeVar("T", bound=str)


def parse_pairs(option: str, given: Sequence[str] | None, example: str) -> dict[str, str]:
    """Return the names and values from `name=value`, of an option that may be given again.

    Raises:
        DegenError: one is no such pair, or a name is given twice.
    """
    pairs: dict[str, str] = {}
    for text in given or ():
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise DegenError(f"{option} {text}: a name and a value, as in {example}")
        if name in pairs:
            raise DegenError(f"{option} {text}: {name} is given twice; keep one")
        pairs[name] = value
    return pairs


def parse_floats(option: str, given: Sequence[str] | None, example: str) -> dict[str, float]:
    """Return the names and numbers from `name=1.5`.

    Raises:
        DegenError: one is no such pair, or its value no number.
    """
    numbers = {}
    for name, value in parse_pairs(option, given, example).items():
        try:
            numbers[name] = float(value)
        except ValueError:
            raise DegenError(f"{option} {name}={value}: {value!r} is no number, as in {example}") from None
    return numbers


def parse_choice(option: str, word: T | str, choices: Sequence[T]) -> T:
    """Return a word that is one of a few.

    Raises:
        DegenError: it is another word.
    """
    for choice in choices:
        if choice == word:
            return choice
    raise DegenError(f"{option} {word}: not one of {', '.join(choices)}")


def parse_names(option: str, text: str) -> list[str]:
    """Return the names of a comma list.

    Raises:
        DegenError: there is none, or an empty one.
    """
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise DegenError(f"{option} {text or repr(text)}: a name is empty; write them as a,b")
    return names


def parse_batch_size(text: str) -> int | None:
    """Return the windows of a batch that `--batch-size` names, None for `auto`.

    Raises:
        DegenError: neither a number nor `auto`.
    """
    if text == "auto":
        return None
    if (size := whole_number(text)) is None:
        raise DegenError(f"--batch-size {text}: a number of windows, or auto")
    return size


def whole_number(text: str) -> int | None:
    """Return the whole number of 0 or more that a text is; None for any other text, and for one beyond 64 bits."""
    return int(text) if text.isdecimal() and len(text) <= 18 else None
