"""Factors of a tall matrix that comes a block of rows at a time: the LM head, which need not be in memory whole."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from degen.device import as_float64
from degen.model.lm_head import HEAD_BLOCK

if TYPE_CHECKING:
    import torch

MIN_SINGULAR = 1e-12  # a singular value below this share of the largest is rounding: thousands of float64's 2.2e-16


def triangular_factor(blocks: Iterable[torch.Tensor]) -> torch.Tensor | None:
    """Return R of W = QR, with Q orthonormal.

    Method: R of the rows so far and the next block stacked is R of all of them. Householder QR keeps an absolute error
    of ε·σ₁, where the Gram matrix WᵀW would lose every singular value under √ε·σ₁ ≈ 1.5e-8·σ₁.

    Args:
        blocks: rows of W in order, each n × d float64.

    Returns:
        min(V, d) × d, float64; None where there are no blocks.

    Source: Golub and Van Loan, Matrix Computations, 5.2.
    """
    import torch

    triangle: torch.Tensor | None = None
    for block in blocks:
        stacked = block if triangle is None else torch.cat([triangle, block])
        triangle = torch.linalg.qr(stacked, mode="r").R
    return triangle


def right_factors(blocks: Iterable[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the singular values and right singular vectors of W = Q diag(s) Vᵀ; those that are zero are left out.

    Q, the left singular vectors, is W V diag(1/s), block by block.

    Args:
        blocks: rows of W in order, each n × d float64; one at least.

    Returns:
        s, ρ descending; V, d × ρ; float64. ρ is the rank of W.

    Source: Golub and Van Loan, Matrix Computations, 8.6.
    """
    import torch

    triangle = triangular_factor(blocks)
    assert triangle is not None
    _, s, Vt = torch.linalg.svd(triangle, full_matrices=False)
    rank = int((s > MIN_SINGULAR * s[:1]).sum())
    return s[:rank], Vt[:rank].T.contiguous()


def factored_error(W: torch.Tensor, A: torch.Tensor, B: torch.Tensor) -> float:
    """Return ‖W − AB‖_F / ‖W‖_F, by blocks of rows in float64; NaN for W = 0."""
    import torch

    apart, whole = 0.0, 0.0
    for part, rows in zip(torch.split(W, HEAD_BLOCK), torch.split(A, HEAD_BLOCK), strict=True):
        block = as_float64(part.detach())
        apart += float((block - as_float64(rows.detach()) @ as_float64(B.detach())).square().sum())
        whole += float(block.square().sum())
    return math.sqrt(apart / whole) if whole > 0 else math.nan
