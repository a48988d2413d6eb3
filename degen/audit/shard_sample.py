"""Some values of one weight file, at the same positions in every revision of a series."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from degen.arrays import Floats
from degen.checkpoints.source import Source
from degen.errors import CheckpointError, one_line
from degen.weights.stored_tensors import HEAD_KEYS, StoredTensors
from degen.weights.tensor_kinds import is_harmless

MAX_KEPT = 1 << 14  # values of a file, for comparison with its neighbours: 128 KiB of float64
MAX_VALUES = 1 << 22  # read at a time: 32 MiB of float64

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ShardSample:
    """Some values of a weight file, and what is wrong with them.

    Attributes:
        shapes: name of the tensor -> its shape, for all tensors of the file.
        values: at most `MAX_KEPT` of the values that were read, evenly spread; float64.
        hash: of the head and of one other tensor as they are stored, and of all values read; None where a hash of the
            file is published.
        not_finite: a sentence that says which values are NaN or infinity; None where none are.
        fault: verdict and reason where the file could not be read; None where it could.
        note: a remark that is no fault; None where there is none.
        constant: whether every tensor of one dimension is all ones or all zeros; None where there is none.
        spreads: name of the matrix -> standard deviation of what was read of it.
    """

    shapes: Mapping[str, Shape] = field(default_factory=dict)
    values: Floats = field(default_factory=lambda: np.zeros(0))
    hash: str | None = None
    not_finite: str | None = None
    fault: tuple[str, str] | None = None
    note: str | None = None
    constant: bool | None = None
    spreads: Mapping[str, float] = field(default_factory=dict)


def read_shard(source: Source, shard: str, values: int | None, hashed: bool) -> ShardSample:
    """Read some values of a weight file; where it cannot be read, the result says so and no error is raised.

    Args:
        source: the files of the checkpoint.
        shard: name of the weight file.
        values: how many values to read, about; None for all.
        hashed: whether to hash what is read, with the head and one other tensor as a whole.
    """
    try:
        tensors = source.tensors()
    except CheckpointError as error:
        if hashed:
            return ShardSample(fault=("unreadable", one_line(error)))
        return ShardSample(note=f"the weights were not read, only their published hashes ({one_line(error)})")
    try:
        return _read(tensors, shard, values, hashed)
    except CheckpointError as error:
        return ShardSample(fault=("unreadable", one_line(error)))


def _read(tensors: StoredTensors, shard: str, values: int | None, hashed: bool) -> ShardSample:
    shapes = {key: tensors.shape(key) for key in sorted(tensors.keys) if tensors.shard(key) == shard}
    chosen = choose_rows(shapes, values)
    tensors.prefetch_rows(chosen)
    digest, bad, kept, at = hashlib.sha256(), None, [], 0
    moments: dict[str, Floats] = {}  # of each tensor: values, Σx, Σx², and how many are 0 and 1
    total = sum(rows * _width(shapes[key]) for key, rows in chosen.items())
    indices = np.unique(np.linspace(0, max(total - 1, 0), min(MAX_KEPT, total)).astype(np.int64))
    for key, rows in chosen.items():
        digest.update(f"{key} {shapes[key]} {tensors.dtype(key)}".encode())
        odd, begin = 0, at
        for block in _blocks(tensors, key, rows, shapes[key]):
            digest.update(block.tobytes())
            odd += int((~np.isfinite(block)).sum())
            of_block = [block.size, block.sum(), (block**2).sum(), (block == 0).sum(), (block == 1).sum()]
            moments[key] = moments.get(key, np.zeros(5)) + np.asarray(of_block)
            kept.append(block[indices[(indices >= at) & (indices < at + len(block))] - at])
            at += len(block)
        if odd and bad is None:
            bad = f"{key} holds NaN or infinity in {odd:,} of {at - begin:,} values read"
    for key in _landmarks(shapes) if hashed else ():
        digest.update(f"{tensors.dtype(key)} {tensors.sha256(key)}".encode())
    return ShardSample(
        shapes, np.concatenate([np.zeros(0), *kept]), digest.hexdigest() if hashed else None, bad,
        constant=_constant(moments, shapes), spreads=_spreads(moments, shapes),
    )  # fmt: skip


def _constant(moments: Mapping[str, Floats], shapes: Mapping[str, Shape]) -> bool | None:
    """Return whether every tensor of one dimension is all ones or all zeros; None where there is none."""
    flat = [m for key, m in moments.items() if len(shapes[key]) == 1 and not is_harmless(key)]
    return all(m[0] in (m[3], m[4]) for m in flat) if flat else None


def _spreads(moments: Mapping[str, Floats], shapes: Mapping[str, Shape]) -> dict[str, float]:
    """Return the standard deviation of what was read of each matrix."""
    matrices = {key: m for key, m in moments.items() if len(shapes[key]) == 2 and m[0] > 0 and np.isfinite(m).all()}
    return {key: math.sqrt(max(m[2] / m[0] - (m[1] / m[0]) ** 2, 0.0)) for key, m in matrices.items()}


def choose_rows(shapes: Mapping[str, Shape], values: int | None) -> dict[str, int]:
    """Return what to read of a file, as a dict: name of the tensor -> number of rows, counted from its first row.

    Of a small file that is everything. Of a large one, with the tensors sorted by name, it is two stretches of half of
    the values each: one begins at the head (at the first tensor, where the file has no head), the other at the tensor
    in the middle. Most files store tensors in the order of their names, so that two requests read the stretches. The
    choice depends on the shapes alone, and so is the same in every revision.

    Args:
        shapes: name of the tensor -> its shape, for all tensors of the file.
        values: how many values to read, about; None for all.
    """
    sizes = {key: math.prod(shape) for key, shape in shapes.items() if shape}  # a scalar has no rows
    total = sum(sizes.values())
    if values is None or total <= values:
        return {key: shapes[key][0] for key in sorted(sizes)}
    names = sorted(sizes)
    head = next((i for i, key in enumerate(names) if key in HEAD_KEYS), 0)
    middle = int(np.searchsorted(np.cumsum([sizes[key] for key in names]), total / 2))
    chosen: dict[str, int] = {}
    for start in (head, middle):
        left = values // 2
        for key in names[start:]:
            rows = shapes[key][0]
            taken = min(rows, max(left * rows // max(sizes[key], 1), 1))
            chosen[key] = max(chosen.get(key, 0), taken)
            left -= taken * _width(shapes[key])
            if left <= 0:
                break
    return chosen


def _landmarks(shapes: Mapping[str, Shape]) -> Sequence[str]:
    """Return the names of two tensors to hash as a whole: the head, and the largest matrix of the other layers.

    Embeddings are left out. A file without a head, or without such a matrix, gives one name or none.

    Args:
        shapes: name of the tensor -> its shape, for all tensors of the file.
    """
    head = [key for key in shapes if key in HEAD_KEYS][:1]
    body = [key for key, s in shapes.items() if len(s) > 1 and key not in head and "emb" not in key.lower()]
    return [*head, *sorted(body, key=lambda key: (-math.prod(shapes[key]), key))[:1]]


def _width(shape: Shape) -> int:
    """Return how many values a row of a tensor of this shape has."""
    return math.prod(shape[1:])


def _blocks(tensors: StoredTensors, key: str, rows: int, shape: Shape) -> Iterator[Floats]:
    """Yield the values of the first `rows` rows of the tensor called `key`, a block of rows at a time, as 1-d float64.

    `shape` is that of the whole tensor.
    """
    step = max(MAX_VALUES // max(_width(shape), 1), 1)
    for first in range(0, rows, step):
        yield tensors.rows(key, first, min(first + step, rows)).double().flatten().numpy()
