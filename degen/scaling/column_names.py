"""Compare the names of columns as people write them: words in any case, camel case, and any separator."""

from __future__ import annotations

from collections.abc import Sequence

from degen.readers.name_words import VALIDATION, words_of

_SPACES = ("metrics", "metric", "summary", "config", "final")  # words before a name that change nothing


def readings_of(name: str) -> set[str]:
    """Return the ways in which a name reads as lower-case words with one `_` between them.

    `val/loss`, `valLoss` and `Val-Loss` all read as `val_loss`; `summary/val/loss` and `final_val_loss` do, too.
    """
    readings = {words_of(name.strip(), camel_case=False), words_of(name.strip())}
    return readings | {words.removeprefix(f"{space}_") for words in readings for space in _SPACES}


def columns_of(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return the columns that are called like one of `names`, the preferred one first.

    Single letters must match exactly; in longer names case and separators make no difference.

    Args:
        names: the names as lower-case words with `_` between them, or single letters; the preferred one first.
        columns: the columns of a table.
    """
    readings = [readings_of(column) for column in columns]
    matches = []
    for name in names:
        found = [c for c, own in zip(columns, readings, strict=True) if c == name or (len(name) > 1 and name in own)]
        matches += sorted(found, key=lambda column, name=name: column.lower() != name)  # type: ignore[misc]
    return list(dict.fromkeys(matches))


def column_of(names: Sequence[str], columns: Sequence[str]) -> str | None:
    """Return the column that is called like the first possible of `names`, or None; see `columns_of`."""
    return next(iter(columns_of(names, columns)), None)


def splits(word: str) -> tuple[str, ...]:
    """Return the names of a measure of data kept for evaluation, the preferred one first, as `val_loss`."""
    return tuple(
        form for split in VALIDATION for form in (f"{split}_{word}", f"{word}_{split}", f"best_{split}_{word}")
    )
