"""Texts of others on a terminal, in a log or on a line of a CI job: shown, never obeyed."""

from __future__ import annotations

import re

# What a terminal would obey, what would break a line, what turns the direction of writing, and halves of characters.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_COMMAND = re.compile(r":(?=:[a-z])|(?<=#)#(?=\[)")  # as in `::error` and `##[error]`, which CI jobs obey


def printable(text: str) -> str:
    r"""Return a text on one line, in which characters that control something are escaped, as in `\x1b`.

    So is what GitHub and Azure would take for a command.
    """
    return _COMMAND.sub(lambda match: _escape(match[0]), escape_controls(text))


def escape_controls(text: str) -> str:
    r"""Return a text on one line, in which characters that control something are escaped, as in `\x1b`."""
    return _CONTROL.sub(_escaped, text)


def escape_json(text: str) -> str:
    r"""Return a JSON document in which these characters are escaped as JSON does, but for its own line breaks."""
    escaped = _CONTROL.sub(lambda m: m[0] if m[0] == "\n" else f"\\u{ord(m[0]):04x}", text)
    return escaped.replace("##[", "#\\u0023[")


def _escaped(match: re.Match[str]) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(match[0], _escape(match[0]))


def _escape(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"
