"""A matrix of eight-bit floats with a scale beside it, read as what it stands for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .stored_tensors import StoredTensors

if TYPE_CHECKING:
    import torch

SCALE_NAMES = ("weight_scale", "weight_scale_inv")  # both are factors, whatever their names say


class ScaledTensor(StoredTensors):
    """Stored tensors in which one matrix is multiplied by its scales: W_ij = q_ij · s_(i/a)(j/b), blocks of a × b.

    Args:
        stored: the tensors as they are.
        key: of the matrix q.
        scale: of its scales s: a single one, one a row, or one a block.
        block: a and b; where s is one or one a row they follow from it.
    """

    def __init__(self, stored: StoredTensors, key: str, scale: str, block: tuple[int, int]) -> None:
        self._stored, self._key, self._block = stored, key, block
        self._scale = stored.rows(scale, 0, stored.shape(scale)[0]) if stored.shape(scale) else _scalar(stored, scale)

    @staticmethod
    def block_of(shape: tuple[int, ...], scale: tuple[int, ...], declared: tuple[int, int]) -> tuple[int, int] | None:
        """Return a and b of the blocks that scales of a shape are for; None where they fit no block."""
        rows, columns = shape
        if math.prod(scale) == 1:
            return rows, columns
        if scale in ((rows,), (rows, 1)):
            return 1, columns
        blocks = -(-rows // declared[0]), -(-columns // declared[1])
        return declared if scale == blocks else None

    @property
    def keys(self) -> frozenset[str]:
        """Names of all tensors."""
        return self._stored.keys

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return self._stored.shape(key)

    def dtype(self, key: str) -> str:
        """Return the type of a tensor's stored values."""
        return self._stored.dtype(key)

    def shard(self, key: str) -> str:
        """Return the name of the file that holds a tensor."""
        return self._stored.shard(key)

    def size(self, key: str | None) -> int:
        """Return the stored size in bytes."""
        return self._stored.size(key)

    def raw(self, key: str) -> Iterator[bytes | memoryview]:
        """Yield the stored bytes, without scales."""
        return self._stored.raw(key)

    def rows(self, key: str, first: int, last: int) -> torch.Tensor:
        """Return the rows of a matrix; of the scaled one as float32."""
        import torch

        rows = self._stored.rows(key, first, last)
        if key != self._key:
            return rows
        a, b = self._block
        scale = self._scale.float().reshape(-1, self._scale.shape[-1] if self._scale.dim() == 2 else 1)
        of_rows = torch.arange(first, last) // a
        of_columns = torch.arange(rows.shape[1]) // b
        return rows.float() * scale[of_rows][:, of_columns]


def _scalar(stored: StoredTensors, key: str) -> torch.Tensor:
    """Return a tensor of one value, which has no rows to read."""
    import torch

    data = bytearray(b"".join(stored.raw(key)))
    return torch.frombuffer(data, dtype=torch.float32 if len(data) == 4 else torch.bfloat16)
