"""Factors of a tall matrix that comes a block of rows at a time: the LM head, which need not be in memory whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from degen.device import as_float64
from degen.model.lm_head import HEAD_BLOCK

from .row_chains import fold_blocks

if TYPE_CHECKING:
    import torch

FAR_FROM_ORTHONORMAL = 0.1  # of ‖Q₁ᵀQ₁ − I‖, which ½ and more would make useless
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
    triangle: torch.Tensor | None = None
    for block in blocks:
        triangle = _next_triangle(triangle, block)
    return triangle


def head_triangle(blocks: Iterable[torch.Tensor]) -> torch.Tensor | None:
    """Return what `triangular_factor` does, by several chains of blocks at once: faster, and with a block for each."""
    return fold_blocks(blocks, _next_triangle, _next_triangle)


def _next_triangle(triangle: torch.Tensor | None, block: torch.Tensor) -> torch.Tensor:
    import torch

    stacked = block if triangle is None else torch.cat([triangle, block])
    R: torch.Tensor = torch.linalg.qr(stacked, mode="r").R
    return R


def cholesky_factor(pieces: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """Return R of W = QR by CholeskyQR2, on the device where W is; None where W is too ill-conditioned for it.

    Formulas: R₁ᵀR₁ = WᵀW, Q₁ = W R₁⁻¹, R₂ᵀR₂ = Q₁ᵀQ₁, R = R₂R₁. That is products of matrices, which an accelerator does
    many times faster than Householder's reflections. ‖Q₁ᵀQ₁ − I‖ is some ε·κ(W)², 0.007 at a condition number κ of 10⁷
    and 0.6 at 10⁸ for 20,000 × 512. Up to 1/10 the error of R is that of Householder QR, ε·σ₁.

    Args:
        pieces: rows of W in order, each n × d, of any floating-point type.

    Returns:
        d × d, float64, on the device of the pieces.

    Source: Yamamoto et al. 2015, Roundoff error analysis of the CholeskyQR2 algorithm.
    """
    import torch

    first, failed = torch.linalg.cholesky_ex(_gram(as_float64(piece) for piece in pieces), upper=True)
    if failed or not first.isfinite().all():
        return None
    gram = _gram(torch.linalg.solve_triangular(first, as_float64(piece), upper=True, left=False) for piece in pieces)
    apart = (gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)).norm()
    if not apart <= FAR_FROM_ORTHONORMAL:
        return None
    R: torch.Tensor = torch.linalg.cholesky(gram, upper=True) @ first
    return R


def _gram(blocks: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return WᵀW for rows of W in order."""
    total: torch.Tensor | None = None
    for block in blocks:
        total = block.T @ block if total is None else total.addmm_(block.T, block)
    assert total is not None
    return total


def device_factor(pieces: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return R of W = QR on the device where W is: by CholeskyQR2, or by Householder QR where that fails.

    Args:
        pieces: rows of W in order, each n × d, of any floating-point type, on a device with float64; one at least.

    Returns:
        min(V, d) × d, float64.
    """
    R = cholesky_factor(pieces)
    if R is None:
        R = triangular_factor(as_float64(piece) for piece in pieces)
    assert R is not None
    return R


def right_factors(blocks: Iterable[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the singular values and right singular vectors of W = Q diag(s) Vᵀ; those that are zero are left out.

    Q, the left singular vectors, is W V diag(1/s), block by block.

    Args:
        blocks: rows of W in order, each n × d float64; one at least.

    Returns:
        s, ρ descending; V, d × ρ; float64. ρ is the rank of W.

    Source: Golub and Van Loan, Matrix Computations, 8.6.
    """
    triangle = head_triangle(blocks)
    assert triangle is not None
    return right_factors_of(triangle)


def right_factors_of(triangle: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what `right_factors` does, given R of W = QR, on the device where R is."""
    import torch

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
