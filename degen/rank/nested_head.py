"""The LM head at every rank at once, in closed form: W_r = U_r U_rᵀ W for a nested basis U."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats
from degen.device import as_float64, factor_device
from degen.errors import CheckpointError
from degen.model.lm_head import DEVICE_BLOCK, HEAD_BLOCK
from degen.probe import OutputHead

from .linear_algebra import MIN_SINGULAR, device_factor, right_factors, right_factors_of

if TYPE_CHECKING:
    import torch

# A direction with less than this share of the largest second moment is rounding, not states: some hundred times the
# precision of float64, 2.2e-16, in which C is summed.
MIN_MOMENT = 1e-13


def rotation(method: str, s: torch.Tensor, V: torch.Tensor, C: torch.Tensor) -> torch.Tensor:
    """Return the orthogonal matrix A for which U = Q A is the nested basis of a method, with W = Q diag(s) Vᵀ.

    Formulas: `svd` keeps the largest singular values of W, so A = I. `whitened` takes the left singular vectors of
    W C^{1/2} = Q (diag(s) Vᵀ C^{1/2}): with U_r its first r columns, W_r = U_r U_rᵀ W has the least E‖(W − W_r) h‖² of
    all heads of rank r, Σ_{i>r} σᵢ² (Eckart and Young). Where C is singular they are completed to a basis of col(W),
    by what is left of W, so that at full rank W_ρ = W.

    Args:
        method: `svd` or `whitened`.
        s: singular values of W, shape (ρ,).
        V: right singular vectors, d × ρ.
        C: second moment of the states the head receives, E[h hᵀ], d × d.

    Returns:
        ρ × ρ orthogonal, float64.

    Source: Eckart and Young 1936; the data-aware form is that of Chen et al. 2021 (DRONE), without its inverse.
    """
    import torch

    if method == "svd":
        return torch.eye(len(s), dtype=torch.float64, device=s.device)
    weights, E = torch.linalg.eigh(C)
    weights = torch.where(weights > MIN_MOMENT * weights.max(), weights, 0.0)
    root = E * weights.sqrt()  # C^{1/2} but for a rotation from the right, which leaves U as it is
    A: torch.Tensor
    A, values, _ = torch.linalg.svd(s[:, None] * (V.T @ root), full_matrices=True)
    seen = int((values > MIN_SINGULAR * values[:1]).sum()) if len(values) else 0
    if seen < len(s):
        rest, _, _ = torch.linalg.svd(A[:, seen:].T * s, full_matrices=True)
        A[:, seen:] = A[:, seen:] @ rest
    return A


@dataclass(frozen=True)
class NestedHead:
    """A head of which every rank is at hand: W_r = U[:, :r] M[:, :r]ᵀ.

    Attributes:
        method: how its basis was chosen.
        factor: U, V × ρ, orthonormal columns, float32.
        map: M = WᵀU, d × ρ, float32: states times M are the coefficients of the logits.
        energy: ‖W − W_r‖²_F for r = 0…ρ, float64.
    """

    method: str
    factor: torch.Tensor
    map: torch.Tensor
    energy: Floats

    def w_error(self, rank: int) -> float:
        """Return ‖W − W_r‖_F / ‖W‖_F; 0 at full rank and beyond."""
        rank = min(rank, len(self.energy) - 1)
        return math.sqrt(max(self.energy[rank], 0.0) / self.energy[0]) if self.energy[0] > 0 else 0.0


def nested_heads(head: OutputHead, C: torch.Tensor, methods: Sequence[str]) -> list[NestedHead]:
    """Return the nested head of each method, in the order of `methods`.

    Formula: with W = Q diag(s) Vᵀ and U = Q A, U = W (V diag(1/s) A) and M = V diag(s) A; ‖W − W_r‖² is the energy of
    the rows of diag(s) Aᵀ from r + 1 on.

    Args:
        head: the full head, W.
        C: second moment of the states that the head receives, d × d.
        methods: `svd` or `whitened`.

    Raises:
        CheckpointError: the weights of the head are all zero, or not finite.
    """
    import torch

    weight = head.weight.detach()

    if factor_device(weight.device) is not None:
        rows, place = DEVICE_BLOCK, weight.device
        s, V = right_factors_of(device_factor(torch.split(weight, rows)))
    else:
        rows, place = HEAD_BLOCK, torch.device("cpu")
        s, V = right_factors(as_float64(part).cpu() for part in torch.split(weight, rows))
    if not len(s):
        raise CheckpointError(
            "every weight of the LM head is zero, so that it has no rank to restrict; measure this checkpoint without "
            "the probe rank"
        )
    heads = []
    for method in methods:
        A = rotation(method, s, V, C.to(place))
        into = V @ (A / s[:, None])
        factor = torch.cat([(as_float64(part).to(place) @ into).float() for part in torch.split(weight, rows)])
        energy = (s[:, None] * A).square().sum(dim=0).flip(0).cumsum(0).flip(0).cpu().numpy()
        heads.append(
            NestedHead(
                method,
                factor.to(weight.device),
                (V @ (s[:, None] * A)).float().to(weight.device),
                np.append(energy, 0.0),
            )
        )
    return heads
