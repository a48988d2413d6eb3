"""The LM head as head probes see it: the used rows of one stored matrix, a block at a time in float64."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.arrays import Floats, Ints
from degen.device import as_float64
from degen.errors import FormatError, NotFiniteError
from degen.weights.scaled_tensor import SCALE_NAMES, ScaledTensor
from degen.weights.stored_tensors import StoredTensors
from degen.weights.tensor_kinds import explain, is_adapter_part, name_some

from .architecture import Architecture
from .final_norm import FinalNorm, norm_key, norm_weight

if TYPE_CHECKING:
    import torch


HEAD_BLOCK = 4096  # rows at a time
DEVICE_BLOCK = 16384  # the same on an accelerator


@dataclass(frozen=True)
class Head:
    """The LM head W, of V rows (tokens) and d columns (dimensions it sees).

    Attributes:
        tensors: the stored tensors it is one of.
        key: its name among them.
        used: ids of the rows that the tokenizer has, ascending; None for all rows.
        device: an accelerator with float64, on which it may be factorised; None for the CPU.
        final_norm: the norm in front of it; None where it is not known.
        shared: what probes of it compute once for all of them, by name; empty again once they are done.
    """

    tensors: StoredTensors
    key: str
    used: Ints | None
    device: torch.device | None = None
    final_norm: FinalNorm | None = None
    name: str = "LM head"
    shared: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """(V, d) as stored, unused rows included."""
        rows, width = self.tensors.shape(self.key)
        return rows, width

    @property
    def rows_used(self) -> int:
        """Number of used rows."""
        return self.shape[0] if self.used is None else len(self.used)

    @property
    def bias(self) -> Floats | None:
        """The bias of the used rows, float64; None without one.

        Raises:
            NotFiniteError: it holds NaN or infinity.
        """
        key = f"{self.key.removesuffix('weight')}bias"
        if key == self.key or key not in self.tensors.keys:
            return None
        stored = self.tensors.rows(key, 0, self.shape[0]).double().numpy()
        bias: Floats = stored if self.used is None else stored[self.used]
        if not np.isfinite(bias).all():
            raise NotFiniteError(f"the bias of the LM head ({key}) holds NaN or infinity")
        return bias

    @property
    def norm_weight(self) -> Floats | None:
        """γ, what the norm in front of the head multiplies each dimension by; None where it is not known."""
        return None if self.final_norm is None else norm_weight(self.tensors, self.final_norm, self.shape[1])

    @cached_property
    def sha256(self) -> str:
        """Hash of the stored bytes."""
        return self.tensors.sha256(self.key)

    def blocks(self, rows: int = HEAD_BLOCK) -> Iterator[torch.Tensor]:
        """Yield the used rows in order, in blocks of up to `rows` stored rows, float64.

        Raises:
            NotFiniteError: a row holds NaN or infinity.
        """
        for first, last, stored in self.stored_blocks(rows):
            block = stored.double()
            if (
                block.sum().isfinite()
            ):  # which one value of NaN or infinity would spoil, and takes less than to look at all
                yield block
                continue
            bad = int((~block.isfinite()).any(dim=1).sum())
            if bad:
                raise NotFiniteError(
                    f"the {self.name} ({self.key}) holds NaN or infinity in {bad} of its rows {first} to {last - 1}"
                )
            yield block

    def stored_blocks(self, rows: int = HEAD_BLOCK) -> Iterator[tuple[int, int, torch.Tensor]]:
        """Yield the used rows in blocks of up to `rows` stored rows, as they are stored and unchecked.

        Yields:
            The first of the stored rows, the one behind the last, and the block, which may be empty.
        """
        for first in range(0, self.shape[0], rows):
            last = min(first + rows, self.shape[0])
            block = self.tensors.rows(self.key, first, last)
            if self.used is not None:
                inside = self.used[(self.used >= first) & (self.used < first + rows)] - first
                block = block[inside.tolist()] if len(inside) < len(block) else block
            yield first, last, block

    def pieces(self, rows: int = DEVICE_BLOCK) -> list[torch.Tensor] | None:
        """Return the used rows in order as they are stored, in pieces on `device`.

        Returns:
            None where there is no row, or one holds NaN or infinity, which `blocks` names.
        """
        import torch

        pieces = [block.to(self.device) for _, _, block in self.stored_blocks(rows) if len(block)]
        finite = [as_float64(piece).isfinite().all() for piece in pieces]
        return pieces if pieces and bool(torch.stack(finite).all()) else None


def head_tensors(tensors: StoredTensors, architecture: Architecture) -> list[str]:
    """Return the names of the stored tensors that measuring the head alone reads.

    They are the head, whatever lies beside it and may change what it means (bias, scales, an adapter), the weight of
    the norm in front of it, and where the configuration ties a head that is stored by itself, the input embedding,
    which tells whether it is tied.

    Returns:
        Empty where the head cannot be told by name and shape.
    """
    shape = (architecture.vocab_size, architecture.head_size)
    key = tensors.head_key(architecture.tied, shape)
    if key is None:
        return []
    norm = architecture.final_norm
    others = [
        norm_key(tensors, norm, architecture.head_size) if norm is not None else None,
        tensors.embedding_key(shape) if architecture.tied else None,
    ]
    return list(dict.fromkeys([key, *tensors.beside(key), *(other for other in others if other is not None)]))


def find_stored_head(
    tensors: StoredTensors,
    architecture: Architecture,
    ids: frozenset[int] | None,
    block: tuple[int, int] = (128, 128),
    device: torch.device | None = None,
) -> Head | None:
    """Return the head among the stored tensors; None where it cannot be told by name and shape.

    Args:
        tensors: of the checkpoint.
        architecture: by its configuration.
        ids: the tokenizer's; None where there is none.
        block: rows and columns that share a scale in a head of eight-bit floats with a scale a block.
        device: an accelerator with float64, on which it may be factorised; None for the CPU.

    Raises:
        CheckpointError: what is stored beside the head says that it means something else than its values.
    """
    key = tensors.head_key(architecture.tied, (architecture.vocab_size, architecture.head_size))
    if key is None:
        return None
    used = used_rows(ids, architecture.vocab_size)
    own = [f"{key.removesuffix('weight')}bias"] if architecture.head_bias else []
    return Head(dequantised(tensors, key, block, own), key, used, device, architecture.final_norm)


def dequantised(
    tensors: StoredTensors, key: str, block: tuple[int, int], own: Sequence[str] = (), name: str = "LM head"
) -> StoredTensors:
    """Return the tensors, one matrix of them dequantised where its scales lie beside it.

    Args:
        tensors: of the checkpoint.
        key: of the matrix.
        block: rows and columns that share a scale where the matrix has a scale a block.
        own: other tensors of its module that its class has, as a bias.
        name: what the matrix is, for messages.

    Raises:
        FormatError: it is quantised otherwise, an adapter was not merged into it, or it has a bias that its class has
            not.
        CheckpointError: it cannot be read.
    """
    beside = [other for other in tensors.beside(key) if other not in own]
    scale = next((other for other in beside if other.rpartition(".")[2] in SCALE_NAMES), None)
    dtype = tensors.rows(key, 0, 1).dtype
    if scale is not None and beside == [scale] and dtype.is_floating_point:
        shape = tensors.shape(key)
        fitting = ScaledTensor.block_of(shape, tensors.shape(scale), block)
        if fitting is not None:
            return ScaledTensor(tensors, key, scale, fitting)
    strange = [other for other in (*beside, key) if is_adapter_part(other)] or beside
    if strange:
        raise FormatError(f"the {name} ({key}) has {name_some(strange)} beside it: {explain(strange[0])}")
    if not dtype.is_floating_point:
        kind = str(dtype).removeprefix("torch.")
        raise FormatError(
            f"the {name} ({key}) is stored as {kind}, and no scales are beside it; dequantise the weights before they "
            "are saved"
        )
    return tensors


def as_stored(architecture: Architecture, head: Head) -> Architecture:
    """Return an architecture with its head tied or not as the files say, whatever the configuration does."""
    if not architecture.tied:
        return architecture
    embedding = head.tensors.embedding_key(head.shape)
    if embedding is None or embedding == head.key or head.tensors.sha256(embedding) == head.sha256:
        return architecture
    rows, width = head.shape
    return replace(architecture, tied=False, parameters=architecture.parameters + rows * width)


def used_rows(ids: frozenset[int] | None, rows: int) -> Ints | None:
    """Return the rows of the head whose ids the tokenizer has, ascending; None where those are all rows."""
    if ids is None:
        return None
    used = np.asarray(sorted(i for i in ids if 0 <= i < rows), dtype=np.int64)
    return None if len(used) == rows else used
