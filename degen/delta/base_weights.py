"""The weights of a base: found by the names that an adapter gives them, and read by byte ranges."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from degen.checkpoints.hub_tensors import HubTensors
from degen.checkpoints.local import LocalSource
from degen.checkpoints.source import Source
from degen.errors import CheckpointError
from degen.paths import is_file
from degen.weights.open_weights import find_weights
from degen.weights.stored_tensors import EMBEDDING_KEYS, HEAD_KEYS, StoredTensors
from degen.weights.tensor_kinds import WRAPPERS, is_harmless, is_quantised_part

from .matrices import Matrix, ReadRows, Shape, Transposed

if TYPE_CHECKING:
    import torch

FLOATS = ("F64", "F32", "F16", "BF16")


def open_by_ranges(source: Source) -> StoredTensors:
    """Return the tensors of a checkpoint, each block of rows read from its file by byte ranges.

    Mapped files would count as memory of the process. Legacy `.bin` and GGUF files are mapped nevertheless.

    Raises:
        CheckpointError: there are no weights, or they cannot be read.
    """
    if not isinstance(source, LocalSource) or not source.path.is_dir():
        return source.tensors()
    folder = source.path
    layout = find_weights(str(folder), lambda name: is_file(folder / name), lambda name: (folder / name).read_text())
    if layout.kind != "safetensors":
        return source.tensors()
    sizes = {name: (folder / name).stat().st_size for name in layout.shards}
    return HubTensors(str(folder), layout, sizes, lambda shard, first, last: _read(folder / shard, first, last))


def _read(file: Path, first: int, last: int) -> bytes:
    try:
        with file.open("rb") as opened:
            opened.seek(first)
            data = opened.read(last - first)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror or error})") from error
    if len(data) != last - first:
        raise CheckpointError(f"{file}: ends before byte {last:,}; is it truncated?")
    return data


def matrix_shape(shape: tuple[int, ...]) -> Shape:
    """Return the shape of a parameter as a matrix: a vector is a column, experts lie one below the other."""
    if len(shape) < 2:
        return (shape[0] if shape else 1), 1
    return math.prod(shape[:-1]), shape[-1]


def stored_matrix(tensors: StoredTensors, key: str) -> Matrix:
    """Return a stored parameter as a matrix, see `matrix_shape`."""
    shape = tensors.shape(key)
    rows, columns = matrix_shape(shape)
    inner = rows // max(shape[0], 1) if shape else 1  # rows of the matrix to one of the tensor

    def read(first: int, last: int) -> torch.Tensor:
        start = first // inner
        block = tensors.rows(key, start, -(-last // inner)).reshape(-1, columns)
        return block[first - start * inner : last - start * inner]

    return ReadRows((rows, columns), read)


class BaseMismatchError(CheckpointError):
    """An adapter does not fit the base that it is put beside."""


class BaseWeights:
    """The weights of a base.

    Args:
        tensors: as they are stored.
        location: for messages.
        tied: whether its configuration says that the head is the input embedding.
    """

    def __init__(self, tensors: StoredTensors, location: str, tied: bool = False) -> None:
        self.tensors, self.location, self._tied_by_config = tensors, location, tied

    @cached_property
    def _stored(self) -> dict[str, str]:
        """The stored name of each tensor, by its name without wrappers of torch."""
        return {WRAPPERS.sub("", key): key for key in self.tensors.keys}

    @cached_property
    def tied(self) -> bool:
        """Whether the head is the input embedding."""
        return self._tied_by_config or not any(key in self._stored for key in HEAD_KEYS)

    @cached_property
    def parameters(self) -> int:
        """How many parameters there are: values of floating-point tensors that are no buffers, tied ones once."""
        names = [key for key in self.tensors.keys if not is_harmless(key) and not is_quantised_part(key)]
        if self._tied_by_config and any(key in self._stored for key in EMBEDDING_KEYS):
            names = [key for key in names if WRAPPERS.sub("", key) not in HEAD_KEYS]
        return sum(math.prod(self.tensors.shape(key)) for key in names if self.tensors.dtype(key) in FLOATS)

    def key_of(self, name: str) -> str | None:
        """Return the stored name of a parameter, given the one it has in the model; None where it cannot be told.

        Files name the head otherwise, or leave a prefix such as `model.` out.
        """
        if name in self._stored:
            return self._stored[name]
        if name in HEAD_KEYS:
            names = (*HEAD_KEYS, *(EMBEDDING_KEYS if self.tied else ()))
            return next((self._stored[key] for key in names if key in self._stored), None)
        ends = [key for key in self._stored if key.endswith(f".{name}") or name.endswith(f".{key}")]
        return self._stored[ends[0]] if len(ends) == 1 else None

    def matrix(self, name: str, shape: Shape | None = None, transposed: bool = False) -> Matrix:
        """Return a parameter as a matrix of output × input.

        Args:
            name: as the model has it.
            shape: of the update; a parameter of the transposed shape is transposed, as GPT-2 stores input × output.
                None for the parameter's own.
            transposed: whether one that fits both ways is stored as input × output.

        Raises:
            CheckpointError: it is not there, or is quantised.
            BaseMismatchError: it is of another shape.
        """
        key = self.key_of(name)
        if key is None:
            raise CheckpointError(f"the base {self.location} has no tensor {name}")
        if self.tensors.dtype(key) not in FLOATS and not self.location.endswith(".gguf"):
            raise CheckpointError(f"{name} of the base is stored as {self.tensors.dtype(key)}, which is no plain float")
        stored = stored_matrix(self.tensors, key)
        if shape is None or (stored.shape == shape and not (transposed and shape[0] == shape[1])):
            return stored
        if stored.shape == (shape[1], shape[0]):
            return Transposed(stored)
        raise BaseMismatchError(
            f"{name} is {_size(stored.shape)} in the base {self.location}, and {_size(shape)} in the adapter; is it "
            "the base that the adapter was trained on?"
        )


def _size(shape: Shape) -> str:
    return " × ".join(map(str, shape))
