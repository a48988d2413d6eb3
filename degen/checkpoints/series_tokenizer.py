"""The tokenizer of a series: beside its checkpoints, or brought by the first that has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from degen.errors import CheckpointError, DegenError
from degen.text.tokenizer import Tokenizer, has_tokenizer

from .local import LocalSource
from .series import Series


def tokenizer_of(series: Series, trust: bool = False) -> Tokenizer | None:
    """Return the tokenizer of a series: the one beside the checkpoints, or of the first that has one; None without any.

    Raises:
        DegenError: it cannot be loaded. A damaged GGUF file, or a revision that cannot be had, is passed over where
            another one's serves.
    """
    error: DegenError | None = None
    for find in _places(series):
        place: Path | None = None
        try:
            place = find()
            if place is not None and has_tokenizer(place):
                return Tokenizer(place, trust)
        except CheckpointError as failed:
            error = error or failed
        except DegenError as failed:
            if place is None or place.suffix != ".gguf":
                raise
            error = error or failed
    if error is not None:
        raise DegenError(str(error))
    return None


def _places(series: Series) -> Iterator[Callable[[], Path | None]]:
    """Yield where to look, in order. A GGUF brings its own; what lies beside it may be another's."""
    local = [c.source.path for c in series.checkpoints if isinstance(c.source, LocalSource)]
    packed = [path for path in local if path.suffix == ".gguf"]
    for path in (*packed, *([series.root] if series.root is not None else [])):
        yield partial(Path, path)
    for checkpoint in series.checkpoints:
        yield checkpoint.source.tokenizer
    if local and series.checkpoints[0].step is not None:  # one step named of a series
        yield partial(Path, local[0].parent)
