"""Every weight matrix of a checkpoint, tensor by tensor as its files have them; no model is built."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from degen.delta.base_weights import FLOATS
from degen.paths import natural_order
from degen.tables import Row
from degen.weights.stored_tensors import StoredTensors
from degen.weights.tensor_kinds import is_harmless, is_quantised_part

from .matrix_figures import RowBlocks, block_rows, matrix_figures
from .matrix_names import kind_of, layer_of
from .split import Part, parts_of

if TYPE_CHECKING:
    import torch

LEAST = 2  # rows and columns; a row or a column alone is a vector


def weight_rows(tensors: StoredTensors, text: Any) -> Iterator[Row]:
    """Yield the row of table `weights` of every matrix, in the order of the names of their tensors.

    A tensor is read once, and freed before the next. Matrices are those with two rows and two columns at least.

    Args:
        tensors: of the checkpoint.
        text: the configuration of its text model; None without one.

    Raises:
        CheckpointError: a file cannot be read.
    """
    for key in sorted(tensors.keys, key=natural_order):
        shape = tensors.shape(key)
        if len(shape) < 2 or min(shape[0], math.prod(shape[1:])) < LEAST or is_harmless(key) or is_quantised_part(key):
            continue
        kind = kind_of(key)
        row: Row = {"tensor": key, "part": "", "kind": kind, "layer": layer_of(key)}
        if tensors.dtype(key) not in FLOATS and not tensors.shard(key).endswith(".gguf"):
            yield row | {"reason": f"stored as {tensors.dtype(key)}, which is no plain float"}
            continue
        parts = list(parts_of(shape, kind, key, text))
        for part, matrix in _matrices(tensors, key, shape, parts):
            rows, columns = matrix.shape
            own = {"part": part.name, "kind": part.kind, "rows": rows, "columns": columns}
            yield row | own | matrix_figures(matrix)


def _matrices(
    tensors: StoredTensors, key: str, shape: tuple[int, ...], parts: list[Part]
) -> Iterator[tuple[Part, RowBlocks]]:
    """Yield the matrices of a tensor, each read as it is needed."""
    if len(parts) == 1 and parts[0].expert is None:
        size = shape[0], math.prod(shape[1:])  # of kernels of a convolution an output channel is a row
        step = block_rows(size)
        firsts = range(0, size[0], step)
        blocks = (tensors.rows(key, first, min(first + step, size[0])).flatten(1) for first in firsts)
        yield parts[0], RowBlocks(size, blocks)
        return
    held: torch.Tensor | None = None
    held_expert: int | None = -1
    for part in parts:
        if held is None or part.expert != held_expert:
            held = None  # before the next is read
            first, last = (0, shape[0]) if part.expert is None else (part.expert, part.expert + 1)
            held = tensors.rows(key, first, last)
            held, held_expert = held if part.expert is None else held[0], part.expert
        matrix = part.take(held)
        yield part, RowBlocks((matrix.shape[0], matrix.shape[1]), iter([matrix]))
