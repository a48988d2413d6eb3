"""The tensors in a checkpoint's files: read a few rows at a time, and hashed as they are stored."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from .tensor_kinds import WRAPPERS

if TYPE_CHECKING:
    import torch

# Names of the LM head in files, and of the input embedding, which is the head of a tied model. transformers renames on
# load (`embed_out` becomes `lm_head`).
HEAD_KEYS = ("lm_head.weight", "embed_out.weight", "output.weight", "transformer.lm_head.weight",
             "model.lm_head.weight", "language_model.lm_head.weight")  # fmt: skip
EMBEDDING_KEYS = ("model.embed_tokens.weight", "transformer.wte.weight", "wte.weight", "token_embd.weight",
                  "model.decoder.embed_tokens.weight", "decoder.embed_tokens.weight", "gpt_neox.embed_in.weight",
                  "transformer.word_embeddings.weight", "word_embeddings.weight", "embed_tokens.weight",
                  "model.language_model.embed_tokens.weight", "backbone.embeddings.weight",
                  "language_model.model.embed_tokens.weight", "tok_embeddings.weight",
                  "model.tok_embeddings.weight")  # fmt: skip


class StoredTensors(ABC):
    """The tensors of one checkpoint as they are stored in its files."""

    @property
    @abstractmethod
    def keys(self) -> frozenset[str]:
        """Names of all tensors."""

    @abstractmethod
    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of a tensor, as a module would hold it."""

    @abstractmethod
    def dtype(self, key: str) -> str:
        """Return the type of a tensor's stored values, as safetensors names it; equal bytes of others are others."""

    @abstractmethod
    def shard(self, key: str) -> str:
        """Return the name of the file that holds a tensor."""

    @abstractmethod
    def rows(self, key: str, first: int, last: int) -> torch.Tensor:
        """Return the rows of a matrix, in the dtype it is stored in (float32 where it is quantized)."""

    @abstractmethod
    def raw(self, key: str) -> Iterator[bytes | memoryview]:
        """Yield the stored bytes of a tensor, in pieces."""

    @abstractmethod
    def size(self, key: str | None) -> int:
        """Return the stored size of a tensor in bytes, for None that of all of them."""

    def prefetch_rows(self, rows: Mapping[str, int]) -> None:  # noqa: B027 - local files need none of it
        """Read the first rows of some tensors ahead, in few requests, where a request takes long.

        Args:
            rows: how many rows of each tensor.
        """

    def sha256(self, key: str) -> str:
        """Return the SHA-256 of the stored bytes of a tensor."""
        digest = hashlib.sha256()
        for piece in self.raw(key):
            digest.update(piece)
        return digest.hexdigest()

    def head_key(self, tied: bool, shape: tuple[int, int]) -> str | None:
        """Return the name of the LM head's tensor: a known name, or the only tensor of its shape; else None.

        Args:
            tied: whether the head is the input embedding; if not, no tensor with `emb` in its name is taken.
            shape: (V, d) of the head.
        """
        # known names before the shapes of all, for which on the hub every file's header would be read
        if (key := self._known(HEAD_KEYS, shape)) is not None:
            return key
        if tied and (key := self.embedding_key(shape)) is not None:
            return key
        fitting = [key for key in self.keys if self.shape(key) == shape and (tied or "emb" not in key.lower())]
        return fitting[0] if len(fitting) == 1 else None

    def embedding_key(self, shape: tuple[int, int] | None = None) -> str | None:
        """Return the known name of the input embedding's tensor, of this shape or of any; None where there is none."""
        return self._known(EMBEDDING_KEYS, shape)

    def _known(self, names: Sequence[str], shape: tuple[int, int] | None) -> str | None:
        """Return the first of some names under which a tensor of this shape is stored, wrappers before it or not."""
        stored = {WRAPPERS.sub("", key): key for key in self.keys}
        known = (stored[name] for name in names if name in stored)
        return next((key for key in known if shape is None or self.shape(key) == shape), None)

    def beside(self, key: str) -> list[str]:
        """Return the other tensors of the module that a tensor is the weight of."""
        module = key.removesuffix("weight")
        return (
            sorted(other for other in self.keys if other.startswith(module) and other != key) if module != key else []
        )
