"""The tensors of a GGUF file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from degen.device import is_unmapped
from degen.errors import CheckpointError, one_line

from .gguf_reader import dequantizer, reader_class, without_vocabulary
from .stored_tensors import StoredTensors

if TYPE_CHECKING:
    import torch


class GgufTensors(StoredTensors):
    """Tensors of a GGUF file, dequantized row by row."""

    def __init__(self, file: Path) -> None:
        try:
            self._dequantize = dequantizer()
        except ImportError as error:
            raise CheckpointError(f"{file}: GGUF needs an extra: pip install 'degen-lm[gguf]'") from error
        self._name = file.name
        try:
            with without_vocabulary():
                self._tensors = {t.name: t for t in reader_class()(file).tensors}
        except Exception as error:  # the reader indexes into the file and fails as indexing does
            if is_unmapped(error):
                raise
            raise CheckpointError(f"{file}: not a sound GGUF file ({one_line(error)})") from error

    @cached_property
    def keys(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset(self._tensors)

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of a tensor; GGUF lists the dimensions in reverse order."""
        return tuple(int(n) for n in reversed(self._tensors[key].shape))

    def dtype(self, key: str) -> str:
        """Return the type of its values, such as `Q4_K`."""
        return str(self._tensors[key].tensor_type.name)

    def shard(self, key: str) -> str:
        """Return the name of the file."""
        return self._name

    def rows(self, key: str, first: int, last: int) -> torch.Tensor:
        """Return the rows of a matrix as float32."""
        import numpy as np
        import torch

        tensor = self._tensors[key]
        rows = self._dequantize(tensor.data[first:last], tensor.tensor_type)
        return torch.from_numpy(
            np.require(rows, requirements="W")
        )  # without quantization they are the mapped file itself

    def size(self, key: str | None) -> int:
        """Return the stored size in bytes, quantized."""
        tensors = self._tensors.values() if key is None else [self._tensors[key]]
        return sum(int(t.n_bytes) for t in tensors)

    def raw(self, key: str) -> Iterator[memoryview]:
        """Yield the stored, quantized bytes."""
        yield memoryview(self._tensors[key].data.reshape(-1).view("uint8"))
