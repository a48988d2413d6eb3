"""The tokens of a corpus in a temporary file, read again in pieces, so that memory does not grow with the corpus."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Self

import numpy as np

from degen.arrays import Tokens
from degen.text.windows import Window

END = -1  # stands behind every window, so that no n-gram crosses its end
PIECE = 1 << 18  # tokens read at a time


class TokenFile:
    """Windows written one behind the other into a temporary file, four bytes a token. Use it in a `with` statement.

    Attributes:
        tokens: number of tokens in all windows together.
        documents: number of documents that they come from.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self.documents = 0
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="degen-ngram-")  # noqa: SIM115  # closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def write(self, windows: Iterable[Window], on_tokens: Callable[[int], None] = lambda tokens: None) -> None:
        """Append windows; those of one document must follow each other.

        Args:
            windows: to be written.
            on_tokens: called with the number of tokens so far after each window.
        """
        end, document = np.asarray([END], dtype=np.int32).tobytes(), None
        for window in windows:
            self._file.write(np.ascontiguousarray(window.tokens, dtype=np.int32).tobytes() + end)
            self.tokens += len(window.tokens)
            self.documents += window.document != document
            document = window.document
            on_tokens(self.tokens)

    def pieces(self, overlap: int) -> Iterator[Tokens]:
        """Yield all tokens in pieces, with `END` behind windows, each with the last `overlap` of the piece before."""
        self._file.seek(0)
        kept = np.empty(0, dtype=np.int32)
        while data := self._file.read(4 * PIECE):
            piece = np.concatenate([kept, np.frombuffer(data, dtype=np.int32)])
            yield piece
            kept = piece[len(piece) - min(overlap, len(piece)) :]
