"""Words of tokens: which tokens make up each word of a window, by the bytes that each token stands for."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from unicodedata import category

import numpy as np

BYTE = re.compile(r"<0x([0-9A-F]{2})>")
SPACE = "▁"  # what sentencepiece writes for a space
CONTINUES = "##"  # before what WordPiece adds to the token before it


@cache
def word_pattern() -> re.Pattern[str]:
    """Return the pattern of a word: letters, digits and the marks on them, with apostrophes inside; no punctuation.

    Vowel signs of Indic scripts are marks, as are accents that are written behind their letter; joiners stand inside
    words of Persian and Hindi. For `re` both are no part of a word.
    """
    marks = "".join(re.escape(chr(code)) for code in range(sys.maxunicode + 1) if category(chr(code))[0] == "M")
    part = rf"(?:[^\W_]|[{marks}\u200c\u200d])"
    return re.compile(rf"[^\W_]{part}*(?:['’]{part}+)*")


@dataclass(frozen=True)
class Word:
    """A word of a window.

    Attributes:
        text: as it is written, upper and lower case told apart.
        first: position of its first token.
        last: position behind its last token.
    """

    text: str
    first: int
    last: int


def words_of(tokenizer: Any, ids: Sequence[int]) -> list[Word] | None:
    """Return the words that some consecutive tokens write, in order.

    A word is a run of letters and digits with their marks, and apostrophes inside. Left out are the first and the last
    one where a window or a special token may have cut them, and words that share a token with another one.

    Args:
        tokenizer: of transformers.
        ids: token ids.

    Returns:
        None for a tokenizer that does not tell where words begin: one that is neither byte-level, nor sentencepiece's,
        nor WordPiece's.
    """
    kind = _kind(tokenizer)
    if kind is None:
        return None
    special = set(tokenizer.all_special_ids)
    pieces = tokenizer.convert_ids_to_tokens([int(i) for i in ids])
    words: list[Word] = []
    start = 0
    for position in range(len(pieces) + 1):
        if position == len(pieces) or ids[position] in special or pieces[position] is None:
            words += _words_of_run([_bytes_of(piece, kind) for piece in pieces[start:position]], start)
            start = position + 1
    return words


def _words_of_run(written: list[bytes], start: int) -> list[Word]:
    """Return the words of tokens without a special one among them; the first has position `start`."""
    ends = np.cumsum([0, *map(len, written)])
    text = b"".join(written).decode("utf-8", "surrogateescape")  # a byte that is cut off becomes a character
    sizes = [len(character.encode("utf-8", "surrogateescape")) for character in text]
    offsets = np.cumsum([0, *sizes])
    found: list[Word] = []
    uses = np.zeros(len(written), dtype=np.int64)
    for match in word_pattern().finditer(text):
        first_byte, last_byte = offsets[match.start()], offsets[match.end()]
        first = int(np.searchsorted(ends, first_byte, side="right")) - 1
        last = int(np.searchsorted(ends, last_byte, side="left"))
        uses[first:last] += 1
        if match.start() > 0 and match.end() < len(text):
            found.append(Word(match[0], first, last))
    return [Word(w.text, w.first + start, w.last + start) for w in found if uses[w.first : w.last].max() == 1]


def _bytes_of(piece: str, kind: str) -> bytes:
    """Return what a token stands for in UTF-8, with the space before a word."""
    if kind == "bytes":
        known = _bytes_of_letters()
        if all(letter in known for letter in piece):
            return bytes(known[letter] for letter in piece)
        return piece.encode("utf-8", "surrogatepass")  # a token that was added to the vocabulary
    if kind == "pieces":
        text = piece.removeprefix(CONTINUES) if piece.startswith(CONTINUES) else f" {piece}"
        return text.encode()
    if (byte := BYTE.fullmatch(piece)) is not None:
        return bytes([int(byte[1], 16)])
    return piece.replace(SPACE, " ").encode("utf-8", "surrogatepass")


@cache
def _bytes_of_letters() -> dict[str, int]:
    """Return the byte that each letter of a byte-level token stands for.

    Source: Radford et al. 2019, the tokenizer of GPT-2: printable bytes stand for themselves, the others in order for
    the letters from 256 on.
    """
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(256 + i): byte for i, byte in enumerate(others)}


def _kind(tokenizer: Any) -> str | None:
    """Return how a tokenizer writes its tokens: `bytes`, `spaces` or `pieces`; None where that is not known."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return "spaces" if hasattr(tokenizer, "sp_model") else None
    described = json.loads(backend.to_str())
    written = json.dumps([described.get("decoder"), described.get("pre_tokenizer")], ensure_ascii=False)
    known = {'"ByteLevel"': "bytes", '"WordPiece"': "pieces", '"Metaspace"': "spaces", SPACE: "spaces"}
    return next((kind for sign, kind in known.items() if sign in written), None)
