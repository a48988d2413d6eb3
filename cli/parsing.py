"""Parsers of option values that several commands share; errors name the option and show an example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from degen.errors import DegenError

if TYPE_CHECKING:
    from degen.metrics.curve import Better

T = TypeVar("T", bound=str)


def parse_pairs(option: str, texts: Sequence[str] | None, example: str) -> dict[str, str]:
    """Return names and values from texts such as `name=value`.

    Args:
        option: name of the option, for the error.
        texts: its values.
        example: a valid value, for the error.

    Raises:
        DegenError: a text has another form, or a name occurs twice.
    """
    pairs: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise DegenError(f"{option} {text}: must be a name and a value, as in {example}")
        if name in pairs:
            raise DegenError(f"{option} {text}: {name} occurs twice; name it once")
        pairs[name] = value
    return pairs


def parse_floats(option: str, texts: Sequence[str] | None, example: str) -> dict[str, float]:
    """Return names and numbers from texts such as `name=1.5`; see `parse_pairs`.

    Raises:
        DegenError: a text has another form, a name occurs twice, or a value is no number.
    """
    numbers = {}
    for name, value in parse_pairs(option, texts, example).items():
        try:
            numbers[name] = float(value)
        except ValueError:
            raise DegenError(f"{option} {name}={value}: {value!r} is no number, as in {example}") from None
    return numbers


def parse_probe_options(option: str, texts: Sequence[str] | None) -> dict[str, dict[str, Any]]:
    """Return a dict: probe -> option -> value, from texts such as `two_nn.positions=4000`.

    A value is a number, true or false, or else a text; with a comma it is the list of its parts.

    Raises:
        DegenError: a text has another form, or an option occurs twice.
    """
    example = "two_nn.positions=4000"
    found: dict[str, dict[str, Any]] = {}
    for name, text in parse_pairs(option, texts, example).items():
        probe, dot, key = name.partition(".")
        if not (probe and dot and key):
            raise DegenError(f"{option} {name}={text}: must be PROBE.OPTION=VALUE, as in {example}")
        parts = [_value(part.strip()) for part in text.split(",") if part.strip()]
        found.setdefault(probe, {})[key] = parts if "," in text else parts[0]
    return found


def _value(text: str) -> bool | int | float | str:
    """Return the number, true or false that a text is, else the text."""
    if text in ("true", "false"):
        return text == "true"
    if (number := whole_number(text)) is not None:
        return number
    try:
        return float(text)
    except ValueError:
        return text


def parse_choice(option: str, text: str, choices: Sequence[T]) -> T:
    """Return the choice that a text names.

    Raises:
        DegenError: it names none.
    """
    for choice in choices:
        if choice == text:
            return choice
    raise DegenError(f"{option} {text}: not one of {', '.join(choices)}")


def parse_better(option: str, texts: Sequence[str] | None) -> dict[str | None, Better]:
    """Return a dict: metric -> which way is better, from `score=max` and `max`; the key None holds for all others.

    Raises:
        DegenError: a text names neither min nor max, or a metric occurs twice.
    """
    sides: tuple[Better, ...] = ("min", "max")
    named = [text for text in texts or () if "=" in text]
    found: dict[str | None, Better] = {
        name: parse_choice(f"{option} {name}", side, sides)
        for name, side in parse_pairs(option, named, "score=max").items()
    }
    for text in (text for text in texts or () if "=" not in text):
        if None in found:
            raise DegenError(f"{option} {text}: the way of all metrics is given twice; keep one, or name a metric")
        found[None] = parse_choice(option, text, sides)
    return found


def parse_names(option: str, text: str) -> list[str]:
    """Return the names of a comma list.

    Raises:
        DegenError: a name is empty.
    """
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise DegenError(f"{option} {text or repr(text)}: a name is empty; write them as a,b")
    return names


def parse_batch_size(text: str) -> int | None:
    """Return the number of windows that `--batch-size` names, None for `auto`.

    Raises:
        DegenError: neither a number nor `auto`.
    """
    if text == "auto":
        return None
    if (size := whole_number(text)) is None:
        raise DegenError(f"--batch-size {text}: must be a number of windows, or auto")
    return size


def whole_number(text: str) -> int | None:
    """Return the whole number of 0 or more that a text is; None for any other text, and for one beyond 64 bits."""
    return int(text) if text.isdecimal() and len(text) <= 18 else None
