"""The triangle of the LM head and of its rows less their mean, from one pass that all probes of the head share."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from degen.arrays import Floats
from degen.device import OutOfMemoryError, as_float64, memory_errors
from degen.model.lm_head import Head

from .linear_algebra import device_factor
from .row_chains import fold_blocks

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class HeadFactor:
    """What one pass over the used rows of a head gives, on the CPU in float64.

    Attributes:
        rows: V, how many there are.
        mean: μ, the mean of the rows, d.
        centred: R with RᵀR = (W − 1μᵀ)ᵀ(W − 1μᵀ), min(V, d) × d or a row more.
    """

    rows: int
    mean: torch.Tensor
    centred: torch.Tensor

    @cached_property
    def raw(self) -> torch.Tensor:
        """R with RᵀR = WᵀW, as WᵀW is that of the centred rows and of one row √V·μᵀ."""
        import torch

        stacked = torch.cat([self.centred, math.sqrt(self.rows) * self.mean.unsqueeze(0)])
        R: torch.Tensor = torch.linalg.qr(stacked, mode="r").R
        return R

    @cached_property
    def directions(self) -> tuple[Floats, torch.Tensor]:
        """σ, the singular values of W, descending, and its right singular vectors, one a column."""
        return self._decompose(self.raw)

    @cached_property
    def centred_directions(self) -> tuple[Floats, torch.Tensor]:
        """The same of the rows less their mean."""
        return self._decompose(self.centred)

    def _decompose(self, R: torch.Tensor) -> tuple[Floats, torch.Tensor]:
        import torch

        _, values, vectors = torch.linalg.svd(R, full_matrices=False)
        kept = min(self.rows, len(self.mean))
        return values[:kept].numpy(), vectors[:kept].T.contiguous()


def head_factor(head: Head) -> HeadFactor | None:
    """Return the triangles of a head, computed once for all probes that ask for them; None where no row is used.

    Method: the centred triangle of the rows so far and a block's centred rows are stacked with one row
    sqrt(nm/(n + m))·(μ_n − μ_m) that makes up for their different means (Chan et al. 1983, Algorithms for computing the
    sample variance), and factorised by Householder QR. The head is read once, and what is kept is d × d.

    Raises:
        NotFiniteError: a row holds NaN or infinity.
    """
    if "factor" not in head.shared:
        head.shared["factor"] = _factor(head)
    found: HeadFactor | None = head.shared["factor"]
    return found


def _factor(head: Head) -> HeadFactor | None:
    if head.device is not None:
        with suppress(OutOfMemoryError), memory_errors():  # then on the CPU, a block at a time
            if (pieces := head.pieces()) is not None:
                return _device_factor(pieces)
    return _blockwise_factor(head)


def _device_factor(pieces: list[torch.Tensor]) -> HeadFactor:
    """Return the same for rows in pieces on a device."""
    import torch

    rows = sum(len(piece) for piece in pieces)
    mean = torch.stack([as_float64(piece).sum(dim=0) for piece in pieces]).sum(dim=0) / rows
    centred = device_factor([as_float64(piece) - mean for piece in pieces])
    return HeadFactor(rows, mean.cpu(), centred.cpu())


def _blockwise_factor(head: Head) -> HeadFactor | None:
    return fold_blocks((block for block in head.blocks() if len(block)), _next_factor, _merged)


def _next_factor(before: HeadFactor | None, block: torch.Tensor) -> HeadFactor:
    """Return the triangle of the rows so far and a block."""
    import torch

    mean = block.mean(dim=0)
    own = HeadFactor(len(block), mean, block - mean)
    if before is None:
        return HeadFactor(own.rows, mean, torch.linalg.qr(own.centred, mode="r").R)
    return _merged(before, own)


def _merged(first: HeadFactor, second: HeadFactor) -> HeadFactor:
    """Return the triangle of the rows of both; the centred rows of the second may be no triangle."""
    import torch

    rows = first.rows + second.rows
    between = math.sqrt(first.rows * second.rows / rows) * (first.mean - second.mean)
    stacked = torch.cat([first.centred, second.centred, between.unsqueeze(0)])
    mean = first.mean + (second.mean - first.mean) * (second.rows / rows)
    return HeadFactor(rows, mean, torch.linalg.qr(stacked, mode="r").R)
