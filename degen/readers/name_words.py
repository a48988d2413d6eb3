"""The words in the name of a column or metric, and whether they say on which text it was measured."""

from __future__ import annotations

import re
from collections.abc import Iterable

VALIDATION = (
    "val", "valid", "validation", "eval", "evaluation", "dev", "heldout", "held_out", "holdout", "hold_out", "test",
)  # fmt: skip
TRAINING = ("train", "training")

# Before a capital behind a small letter, and before the last capital of several where small letters follow: `CELoss`.
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")
_SEPARATORS = re.compile(r"[_/,\-.:()\[\]\s]+")
_CLOSING = re.compile(r"[)\]\s]+$")


def words_of(name: str, camel_case: bool = True) -> str:
    """Return a name in lower case with one `_` between its words; `CrossEntropyLoss` has three, and `BLEU` one.

    Args:
        name: the name, with any of the separators `_`, `/`, `,`, `-`, `.`, `:`, brackets and spaces.
        camel_case: whether a capital begins a word.
    """
    name = _CLOSING.sub("", name)  # `loss (nats)` ends in a word
    return _SEPARATORS.sub("_", _CAMEL.sub("_", name) if camel_case else name).lower()


def has_word(name: str, words: Iterable[str]) -> bool:
    """Return whether a name contains one of some words, each in lower case, perhaps of several parts: `held_out`."""
    return any(f"_{word}_" in f"_{words_of(name)}_" for word in words)


def is_validation(name: str) -> bool:
    """Return whether a name says that a value is of text that was not trained on, as `val_loss` does."""
    return has_word(name, VALIDATION)


def is_training(name: str) -> bool:
    """Return whether a name says that a value is of the training text, as `train/loss` does."""
    return has_word(name, TRAINING)
