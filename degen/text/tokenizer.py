"""Tokenizers of every kind behind one class: the tokens of a text, where they end in it, and all ids."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from degen.arrays import Ints, Tokens
from degen.errors import CheckpointError, DegenError, one_line
from degen.paths import expand_user, is_file
from degen.weights.gguf_reader import quick_reader

from .words import Word, words_of

# A folder without any of these has no tokenizer; transformers would make an empty one.
FILES = (
    "tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json", "vocab.txt",
    "tekken.json", "tiktoken.model", "qwen.tiktoken",
)  # fmt: skip
# Further files of a tokenizer.
FILES_BESIDE = (
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", "chat_template.jinja",
)  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """The tokens of a piece of text.

    Attributes:
        tokens: token ids, with those that the tokenizer puts before a text.
        ends: the character at which each token ends; 0 for those before the text.
    """

    tokens: Tokens
    ends: Ints


class Tokenizer:
    """A tokenizer of transformers, reduced to what a scan needs.

    Args:
        source: a folder, a `.gguf` file, `org/model` on the hub, perhaps with `@revision`, or a tokenizer of
            transformers. The latter is copied: it may be in use elsewhere, and our calls would change its padding and
            truncation.
        trust: whether Python code that belongs to it may run.

    Raises:
        DegenError: the tokenizer cannot be loaded.
    """

    def __init__(self, source: str | Path | Any, trust: bool = False) -> None:
        if isinstance(source, str | Path):
            self.source, self._inner = str(source), _load(source, trust)
        else:
            self.source = str(getattr(source, "name_or_path", "") or type(source).__name__)
            self._inner = copy.deepcopy(source)

    @cached_property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of a SHA-256 of vocabulary and settings: equal ones give equal tokens."""
        backend = getattr(self._inner, "backend_tokenizer", None)
        if backend is not None:  # settings of its last call, which do not matter to ours
            backend.no_truncation()
            backend.no_padding()
        text = backend.to_str() if backend is not None else json.dumps(self._inner.get_vocab(), sort_keys=True)
        return hashlib.sha256(f"{text}\n{self._prefix}".encode()).hexdigest()[:16]

    @cached_property
    def ids(self) -> frozenset[int]:
        """Every id the tokenizer has."""
        return frozenset(self._inner.get_vocab().values())

    @cached_property
    def _prefix(self) -> list[int]:
        """The ids that the tokenizer puts before a text."""
        encoded = self._inner("a", return_special_tokens_mask=True)
        special = encoded["special_tokens_mask"]
        return list(encoded["input_ids"][: special.index(0) if 0 in special else 0])

    def tokenize(self, text: str, limit: int) -> Piece:
        """Return the first `limit` tokens of `text`, and the characters at which they end.

        The tokens that the tokenizer puts before a text count among the `limit`. Of a long text only the beginning is
        tokenized, with a margin, so that the cut does not change the tokens that are returned.
        """
        length = 8 * limit + 256
        while True:
            part = text[:length]
            tokens, ends = self._encode(part)
            if len(tokens) >= limit + 32 or len(part) == len(text):
                return Piece(tokens[:limit], ends[:limit])
            length *= 2

    def words(self, tokens: Tokens) -> list[Word] | None:
        """Return the words that consecutive tokens write; None for a tokenizer that does not tell where words begin."""
        return words_of(self._inner, tokens.tolist())

    def _encode(self, text: str) -> tuple[Any, Any]:
        if self._inner.is_fast:
            encoded = self._inner(
                text, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False,
                verbose=False,
            )  # fmt: skip
            ids, ends = encoded["input_ids"], [end for _, end in encoded["offset_mapping"]]
        else:
            ids = self._inner(text, add_special_tokens=False, verbose=False)["input_ids"]
            ends = self._search_ends(text, ids)
        return (
            np.asarray([*self._prefix, *ids], dtype=np.int32),
            np.maximum.accumulate(np.asarray([*(0 for _ in self._prefix), *ends], dtype=np.int64)),
        )

    def _search_ends(self, text: str, ids: list[int]) -> list[int]:
        """Return for each of the token ids `ids` the index of the character in `text` at which the token ends.

        It serves tokenizers that do not return offsets: every token is searched for in the text, behind the one before
        it. A token that the text does not contain literally (an unknown word, changed to lower case) gets the end of
        the token before it.
        """
        ends, end = [], 0
        for token in self._inner.convert_ids_to_tokens(ids):
            written = self._inner.convert_tokens_to_string([token]).strip()
            begin = text.find(written, end, end + len(written) + 64) if written else -1
            end = begin + len(written) if begin >= 0 else end
            ends.append(end)
        return ends


def _load(source: str | Path, trust: bool) -> Any:
    from transformers import AutoTokenizer

    path = expand_user(source)
    try:
        if path.suffix == ".gguf" and path.is_file():
            with quick_reader():
                return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, trust_remote_code=False)
        if path.exists() and not has_tokenizer(path):
            raise DegenError(
                f"{path}: the folder holds no tokenizer, that is, no {', '.join(FILES[:3])} or the like; "
                "name another with --tokenizer"
            )
        if not path.exists() and (path.is_absolute() or str(source).count("/") > 1):
            raise DegenError(f"{path}: no such folder; name the folder of a tokenizer with --tokenizer")
        if path.exists():
            return AutoTokenizer.from_pretrained(str(path), trust_remote_code=trust)
        repo, _, revision = str(source).partition("@")
        return AutoTokenizer.from_pretrained(repo, revision=revision or "main", trust_remote_code=trust)
    except DegenError:
        raise
    except Exception as error:  # transformers raises errors of any class for a damaged file
        raise DegenError(
            f"{source}: the tokenizer cannot be loaded ({one_line(error)}); name another with --tokenizer"
        ) from error


def has_tokenizer(path: Path) -> bool:
    """Return whether the folder `path` holds a file of a tokenizer; of a `.gguf` file, whether it exists."""
    try:
        return is_file(path) if path.suffix == ".gguf" else any(is_file(path / name) for name in FILES)
    except CheckpointError:
        return False
