"""Compare the names of columns as people write them: words in any case, camel case, and any separator."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

VALIDATION = ("val", "valid", "validation", "eval", "evaluation", "dev", "heldout", "held_out", "test")
TRAINING = ("train", "training")
_SPACES = ("metrics", "metric", "summary", "config", "final")  # words before a name that change nothing


def words_of(name: str) -> set[str]:
    """Return the ways in which a name reads as lower-case words with one `_` between them.

    `val/loss`, `valLoss` and `Val-Loss` all read as `val_loss`; `summary/val/loss` and `final_val_loss` do, too.
    """
    read = set()
    for text in (name, re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)):
        words = "_".join(re.split(r"[_/,\-.:\s]+", text.strip())).lower()
        read.add(words)
        read |= {words.removeprefix(f"{space}_") for space in _SPACES}
    return read


def columns_of(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return the columns that are called like one of `names`, the preferred one first.

    Single letters must match exactly; in longer names case and separators make no difference.

    Args:
        names: the names as lower-case words with `_` between them, or single letters; the preferred one first.
        columns: the columns of a table.
    """
    words = [words_of(column) for column in columns]
    matches = []
    for name in names:
        found = [c for c, read in zip(columns, words, strict=True) if c == name or (len(name) > 1 and name in read)]
        matches += sorted(found, key=lambda column, name=name: column.lower() != name)  # type: ignore[misc]
    return list(dict.fromkeys(matches))


def column_of(names: Sequence[str], columns: Sequence[str]) -> str | None:
    """Return the column that is called like the first possible of `names`, or None; see `columns_of`."""
    return next(iter(columns_of(names, columns)), None)


def is_training(name: str) -> bool:
    """Return whether a name says that a value is of the training data, as `train/loss` does."""
    return _has(name, TRAINING)


def is_validation(name: str) -> bool:
    """Return whether a name says that a value is of data kept for evaluation, as `val_loss` does."""
    return _has(name, VALIDATION)


def splits(word: str) -> tuple[str, ...]:
    """Return the names of a measure of data kept for evaluation, the preferred one first, as `val_loss`."""
    return tuple(
        form for split in VALIDATION for form in (f"{split}_{word}", f"{word}_{split}", f"best_{split}_{word}")
    )


def _has(name: str, words: Collection[str]) -> bool:
    return any(f"_{word}_" in f"_{read}_" for read in words_of(name) for word in words)
