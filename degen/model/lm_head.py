"""The LM head as head probes see it: the used rows of one stored matrix, a block at a time in float64."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Ints
from degen.errors import NotFiniteError
from degen.weights.stored_tensors import StoredTensors

from .architecture import Architecture

if TYPE_CHECKING:
    import torch


HEAD_BLOCK = 4096  # rows at a time


@dataclass(frozen=True)
class Head:
    """The LM head W, of V rows (tokens) and d columns (dimensions it sees).

    Attributes:
        tensors: the stored tensors it is one of.
        key: its name among them.
        used: ids of the rows that the tokenizer has, ascending; None for all rows.
    """

    tensors: StoredTensors
    key: str
    used: Ints | None

    @property
    def shape(self) -> tuple[int, int]:
        """(V, d) as stored, unused rows included."""
        rows, width = self.tensors.shape(self.key)
        return rows, width

    @property
    def rows_used(self) -> int:
        """Number of used rows."""
        return self.shape[0] if self.used is None else len(self.used)

    @cached_property
    def sha256(self) -> str:
        """Hash of the stored bytes."""
        return self.tensors.sha256(self.key)

    def blocks(self, rows: int = HEAD_BLOCK) -> Iterator[torch.Tensor]:
        """Yield the used rows in order, in blocks of up to `rows` stored rows, float64.

        Raises:
            NotFiniteError: a row holds NaN or infinity.
        """
        for first in range(0, self.shape[0], rows):
            last = min(first + rows, self.shape[0])
            block = self.tensors.rows(self.key, first, last).double()
            if self.used is not None:
                inside = self.used[(self.used >= first) & (self.used < first + rows)] - first
                block = block[inside.tolist()] if len(inside) < len(block) else block
            bad = int((~block.isfinite()).any(dim=1).sum())
            if bad:
                raise NotFiniteError(
                    f"the LM head ({self.key}) holds NaN or infinity in {bad} of its rows {first} to {last - 1}"
                )
            yield block


def find_stored_head(tensors: StoredTensors, architecture: Architecture, ids: frozenset[int] | None) -> Head | None:
    """Return the head among the stored tensors; None where it cannot be told by name and shape."""
    key = tensors.head_key(architecture.tied, (architecture.vocab_size, architecture.head_size))
    if key is None:
        return None
    return Head(tensors, key, used_rows(ids, architecture.vocab_size))


def used_rows(ids: frozenset[int] | None, rows: int) -> Ints | None:
    """Return the rows of the head whose ids the tokenizer has, ascending; None where those are all rows."""
    if ids is None:
        return None
    used = np.asarray(sorted(i for i in ids if 0 <= i < rows), dtype=np.int64)
    return None if len(used) == rows else used
