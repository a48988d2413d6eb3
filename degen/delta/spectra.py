"""Singular values and leading directions of a matrix, and what they say about its dimension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats
from degen.rank.linear_algebra import triangular_factor
from degen.stats.spectral_figures import any_above_zero, directions_holding, effective_rank, stable_rank

from .matrices import Kronecker, LowRank, Matrix, Transposed, finite

if TYPE_CHECKING:
    import torch

DIRECTIONS = 16  # leading directions that are compared at most
ENERGY = 0.9  # of Σσ², which k90 directions hold


@dataclass(frozen=True)
class Decomposition:
    """The singular value decomposition of a matrix of n × m, its values whole and its leading directions.

    Attributes:
        values: σ, all min(n, m) of them or, of a product of thin factors, its r; descending.
        left: U, n × k, the leading left singular vectors, k ≤ 16.
        right: V, m × k, the leading right ones.
    """

    values: Floats
    left: torch.Tensor
    right: torch.Tensor

    @property
    def norm(self) -> float:
        """‖ΔW‖_F."""
        return float(np.linalg.norm(self.values))

    @property
    def stable_rank(self) -> float | None:
        """Σσ²/σ₁²; None for a matrix of zeros."""
        return stable_rank(self.values)

    @property
    def effective_rank(self) -> float | None:
        """exp(H(σ/Σσ)); None for a matrix of zeros."""
        return effective_rank(self.values)

    @property
    def k90(self) -> int:
        """The least k with Σ_{i≤k} σᵢ² ≥ 0.9 Σσ²; 0 for a matrix of zeros."""
        return directions_holding(self.values, ENERGY) or 0

    def numerical_rank(self, rounding: float, floor: float = 0.0) -> int:
        """Return how many σ are above `rounding`·σ₁ and above `floor`."""
        if not self.any:
            return 0
        return int((self.values > max(rounding * self.values[0], floor)).sum())

    @property
    def any(self) -> bool:
        """Whether a singular value is above zero."""
        return any_above_zero(self.values)


def decompose(matrix: Matrix) -> Decomposition:
    """Return the singular values of a matrix, and its leading directions.

    Method: of a product BA of thin factors the SVD of R_B R_Aᵀ, from the thin QRs B = Q_B R_B and Aᵀ = Q_A R_A. Of
    C ⊗ D every product of a singular value of C and one of D. Of any other matrix the SVD of R, from the QR of its
    longer side a block of rows at a time; a matrix with fewer rows than columns is held in memory for that.

    Raises:
        NotFiniteError: it holds NaN or infinity.
    """
    if isinstance(matrix, LowRank):
        return _of_thin(matrix)
    if isinstance(matrix, Kronecker):
        return _of_kronecker(matrix)
    rows, columns = matrix.shape
    if rows < columns:
        flipped = _of_tall(Transposed(matrix))
        return Decomposition(flipped.values, flipped.right, flipped.left)
    return _of_tall(matrix)


def _of_thin(matrix: LowRank) -> Decomposition:
    import torch

    left, right = torch.linalg.qr(matrix.left), torch.linalg.qr(matrix.right.T)
    U, s, Vt = torch.linalg.svd(finite(left.R @ right.R.T), full_matrices=False)
    k = min(DIRECTIONS, len(s))
    return Decomposition(s.numpy(), left.Q @ U[:, :k], right.Q @ Vt[:k].T)


def _of_kronecker(matrix: Kronecker) -> Decomposition:
    import torch

    U, s, Vt = torch.linalg.svd(matrix.first, full_matrices=False)
    X, t, Yt = torch.linalg.svd(matrix.second, full_matrices=False)
    values, order = (s.unsqueeze(1) * t.unsqueeze(0)).flatten().sort(descending=True, stable=True)
    lead = order[:DIRECTIONS]
    i, j = lead // len(t), lead % len(t)
    left = (U[:, i].unsqueeze(1) * X[:, j].unsqueeze(0)).flatten(0, 1)
    right = (Vt[i].T.unsqueeze(1) * Yt[j].T.unsqueeze(0)).flatten(0, 1)
    return Decomposition(values.numpy(), left, right)


def _of_tall(matrix: Matrix) -> Decomposition:
    """Return the decomposition of a matrix with as many rows as columns or more."""
    import torch

    triangle = triangular_factor(block for _, _, block in matrix.blocks())
    assert triangle is not None
    _, s, Vt = torch.linalg.svd(triangle)
    k = min(DIRECTIONS, int((s > 0).sum()))
    right = Vt[:k].T.contiguous()
    left = torch.empty(matrix.shape[0], k, dtype=torch.float64)
    for first, last, block in matrix.blocks():
        left[first:last] = block @ right / s[:k]
    return Decomposition(s.numpy(), left, right)
