"""Inputs changed at random, by a seed: texts, bytes, and the values of JSON."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

# What parsers trip over: ends of ranges, separators, quotes, escapes, signs, halves of characters.
WORDS = (
    "", " ", ",", ":", "=", "..", "-", "--", "@", "/", "\\", "*", "[", "]", "(", ")", "{", "}", "'", '"', "#", "%",
    "\0", "\n",
    "\r\n", "\t", "0", "-1", "1e309", "-0.0", "nan", "inf", "9" * 400, "0x10", "1_000", "١٢", "٪", "é", "\u202e",
    "\ud800", "😀",
    "null", "true", "None", "__import__('os')", "../../etc/passwd", "~", "$HOME", "C:\\x", "hf://", "step", "loss", "<",
    ">=",
    "\x1b[31m", "\ufeff", "NaN", "Infinity", "[[[[", "1:2:3", "log:", "and", "A" * 5000,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**400, -(2**63) - 1, 2**63, 1e308, 0.5, float("nan"), float("inf"), "", "x",
    "\ud800", "\0",
    "../x", "9" * 400, [], {}, [[]], {"": None}, [None] * 50, {"a": {"b": {"c": []}}}, "A" * 5000,
)  # fmt: skip


def mutate_text(text: str, draw: random.Random) -> str:
    """Return a text with some pieces cut, repeated, moved, or replaced by what parsers trip over."""
    for _ in range(draw.choice([1, 1, 1, 2, 3, 8])):
        at, length = draw.randrange(len(text) + 1), draw.choice([0, 1, 1, 2, 5, 20])
        kind = draw.randrange(4)
        if kind == 0:
            text = text[:at] + draw.choice(WORDS) + text[at + length :]
        elif kind == 1:
            text = text[:at] + text[at + length :]
        elif kind == 2:
            text = text[:at] + text[at : at + length] * draw.choice([2, 3, 30]) + text[at:]
        else:
            text = text[:at] + chr(draw.choice([draw.randrange(128), draw.randrange(0x110000)])) + text[at + 1 :]
    return text


def mutate_bytes(data: bytes, draw: random.Random) -> bytes:
    """Return bytes with some changed, cut, repeated or put in; half of them near an end, where headers lie."""
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 8])):
        near = max(1, draw.choice([len(changed), min(len(changed), 3000)]))
        at = draw.randrange(near) if draw.random() < 0.5 else max(0, len(changed) - 1 - draw.randrange(near))
        kind, length = draw.randrange(6), draw.choice([1, 4, 100])
        if kind == 0 and at < len(changed):
            changed[at] = draw.randrange(256)
        elif kind == 1 and at < len(changed):
            changed[at] ^= 1 << draw.randrange(8)
        elif kind == 2:
            del changed[at : at + length]
        elif kind == 3:
            changed[at:at] = changed[at : at + length]
        elif kind == 4:
            changed[at:at] = draw.choice(WORDS).encode("utf-8", "surrogatepass")
        else:
            changed[at : at + 8] = draw.choice([b"\xff" * 8, b"\0" * 8, (2**62).to_bytes(8, "little")])
    return bytes(changed)


def mutate_json(content: Any, draw: random.Random) -> Any:
    """Return a JSON value with one to three values in it replaced, left out, renamed or repeated."""
    content = json.loads(json.dumps(content))
    for _ in range(draw.choice([1, 1, 2, 3])):
        content = _mutate_once(content, draw)
    return content


def _mutate_once(value: Any, draw: random.Random) -> Any:
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(list(value))
        kind = draw.randrange(8)
        if kind == 0:
            del value[key]
        elif kind == 1:
            value[draw.choice(WORDS)] = value.pop(key)
        else:
            value[key] = _mutate_once(value[key], draw)
        return value
    if isinstance(value, list) and value and draw.random() < 0.9:
        at = draw.randrange(len(value))
        if draw.randrange(8) == 0:
            value.insert(at, value[at])
        else:
            value[at] = _mutate_once(value[at], draw)
        return value
    return copy.deepcopy(draw.choice(VALUES))


def written(content: Any) -> bytes:
    """Return a JSON value as bytes, with halves of characters and numbers that JSON lacks where they are in it."""
    return json.dumps(content, ensure_ascii=random.Random(repr(content)[:50]).random() < 0.5).encode(
        "utf-8", "surrogatepass"
    )
