"""Stored tensors: what a checkpoint's files hold, read a few rows at a time and hashed as they lie there."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Keys under which files keep the matrix that makes logits: a head of its own first, then the input embedding of a
# tied model. transformers renames on load (`embed_out` becomes `lm_head`), so these are the files' names.
HEAD_KEYS = ("lm_head.weight", "embed_out.weight", "output.weight", "transformer.lm_head.weight",
             "model.lm_head.weight", "language_model.lm_head.weight")  # fmt: skip
EMBEDDING_KEYS = ("model.embed_tokens.weight", "transformer.wte.weight", "wte.weight", "token_embd.weight",
                  "model.decoder.embed_tokens.weight", "decoder.embed_tokens.weight", "gpt_neox.embed_in.weight",
                  "transformer.word_embeddings.weight", "word_embeddings.weight", "embed_tokens.weight",
                  "model.language_model.embed_tokens.weight", "backbone.embeddings.weight")  # fmt: skip

PIECE = 1 << 20  # bytes that are read at once, few enough for a core's cache
SMALL = 1 << 15  # numbers; torch shares out the work on more of them among its threads, and waits for the busiest core


class StoredTensors(ABC):
    """The tensors of one checkpoint as they lie in its files."""

    @property
    @abstractmethod
    def keys(self) -> frozenset[str]:
        """Names of all tensors."""

    @abstractmethod
    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of a tensor, as a module would hold it."""

    @abstractmethod
    def shard(self, key: str) -> str:
        """Return the name of the file that holds a tensor."""

    @abstractmethod
    def rows(self, key: str, first: int, last: int) -> torch.Tensor:
        """Return the rows of a matrix, in the dtype it is stored in (float32 where it is quantized)."""

    @abstractmethod
    def raw(self, key: str) -> Iterator[bytes | memoryview]:
        """Return the stored bytes of a tensor, in pieces."""

    def pieces(self, key: str) -> Iterator[torch.Tensor]:
        """Yield a tensor in its stored dtype, flat, in small pieces; the next may overwrite what the last one held."""
        import torch

        count = self.shape(key)[0]
        step = max(1, PIECE * count // max(self.size(key), 1))
        for first in range(0, count, step):
            yield from torch.split(self.rows(key, first, min(first + step, count)).flatten(), SMALL)

    @abstractmethod
    def size(self, key: str | None) -> int:
        """Return the stored size of a tensor, of all of them for None."""

    def prefetch_rows(self, rows: Mapping[str, int]) -> None:  # noqa: B027 - where reading is cheap there is nothing to do
        """Make ready to read the first so many rows of these tensors; where reading is dear, at once."""

    def sha256(self, key: str) -> str:
        """Return SHA-256 of the stored bytes of a tensor."""
        digest = hashlib.sha256()
        for piece in self.raw(key):
            digest.update(piece)
        return digest.hexdigest()

    def head_key(self, tied: bool, shape: tuple[int, int]) -> str | None:
        """Return the tensor that makes logits, V × d; of a tied model the input embedding.

        It has a known name, or it is the only one of that shape that is not called an embedding. None where neither
        tells.
        """
        names = (*HEAD_KEYS, *EMBEDDING_KEYS) if tied else HEAD_KEYS
        there = self.keys
        known = next((key for key in names if key in there and self.shape(key) == shape), None)
        if known is not None:
            return known
        alike = [key for key in there if self.shape(key) == shape and (tied or "emb" not in key.lower())]
        return alike[0] if len(alike) == 1 else None
