"""What several commands read out of their options; a mistake names the option and what it should look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from degen.errors import DegenError

T = TypeVar("T", bound=str)


def pairs(option: str, given: Sequence[str] | None, example: str) -> dict[str, str]:
    """Names and values out of `name=value`, from an option that may be given again.

    Raises:
        DegenError: one is no such pair, or a name is given twice.
    """
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise DegenError(f"{option} {text}: a name and a value, as in {example}")
        if name in found:
            raise DegenError(f"{option} {text}: {name} is given twice; keep one")
        found[name] = value
    return found


def figures(option: str, given: Sequence[str] | None, example: str) -> dict[str, float]:
    """Names and numbers out of `name=1.5`.

    Raises:
        DegenError: one is no such pair, or its value no number.
    """
    found = {}
    for name, value in pairs(option, given, example).items():
        try:
            found[name] = float(value)
        except ValueError:
            raise DegenError(f"{option} {name}={value}: {value!r} is no number, as in {example}") from None
    return found


def choice(option: str, said: T | str, among: Sequence[T]) -> T:
    """One of a few words.

    Raises:
        DegenError: another word.
    """
    for word in among:
        if word == said:
            return word
    raise DegenError(f"{option} {said}: not one of {', '.join(among)}")


def names(option: str, said: str) -> list[str]:
    """The names of a comma list.

    Raises:
        DegenError: there is none, or an empty one.
    """
    found = [name.strip() for name in said.split(",")]
    if not all(found):
        raise DegenError(f"{option} {said or repr(said)}: a name is empty; write them as a,b")
    return found
