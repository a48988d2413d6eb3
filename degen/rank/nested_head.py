"""The LM head at every rank at once, in closed form: W_r = U_r U_rᵀ W for a nested basis U."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.device import as_float64
from degen.errors import CheckpointError
from degen.model.lm_head import HEAD_BLOCK
from degen.probe import OutputHead

from .linear_algebra import right_factors

if TYPE_CHECKING:
    import torch

Floats = np.ndarray[Any, np.dtype[np.float64]]

UNSEEN = 1e-13  # a direction with less than this share of the largest second moment is rounding, not states


def rotation(method: str, s: torch.Tensor, V: torch.Tensor, C: torch.Tensor) -> torch.Tensor:
    """A, by which U = Q A is the nested basis of a method, with W = Q diag(s) Vᵀ.

    Formulas: `svd` keeps the largest singular values of W, so A = I. `whitened` takes the left singular vectors of
    W C^{1/2} = Q (diag(s) Vᵀ C^{1/2}): with U_r its first r columns, W_r = U_r U_rᵀ W has the least E‖(W − W_r) h‖² of
    all heads of rank r, Σ_{i>r} σᵢ² (Eckart and Young). Where C is singular they are completed to a basis of col(W),
    by what is left of W, so that at full rank W_ρ = W.

    Args:
        method: `svd` or `whitened`.
        s: singular values of W, ρ.
        V: right singular vectors, d × ρ.
        C: second moment of the states the head receives, E[h hᵀ], d × d.

    Returns:
        ρ × ρ orthogonal, float64.

    Source: Eckart and Young 1936; the data-aware form is that of Chen et al. 2021 (DRONE), without its inverse.
    """
    import torch

    if method == "svd":
        return torch.eye(len(s), dtype=torch.float64)
    weights, E = torch.linalg.eigh(C)
    weights = torch.where(weights > UNSEEN * weights.max(), weights, 0.0)
    root = E * weights.sqrt()  # C^{1/2} but for a rotation from the right, which leaves U as it is
    A: torch.Tensor
    A, values, _ = torch.linalg.svd(s[:, None] * (V.T @ root), full_matrices=True)
    seen = int((values > 1e-12 * values[:1]).sum()) if len(values) else 0
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
        """‖W − W_r‖_F / ‖W‖_F; 0 at full rank and beyond."""
        rank = min(rank, len(self.energy) - 1)
        return math.sqrt(max(self.energy[rank], 0.0) / self.energy[0]) if self.energy[0] > 0 else 0.0


def nested_heads(head: OutputHead, C: torch.Tensor, methods: Sequence[str]) -> list[NestedHead]:
    """The nested head of each method.

    Formula: with W = Q diag(s) Vᵀ and U = Q A, U = W (V diag(1/s) A) and M = V diag(s) A; ‖W − W_r‖² is the energy of
    diag(s) Aᵀ's rows beyond r.

    Raises:
        CheckpointError: the head is zero, or not finite.
    """
    import torch

    weight = head.weight.detach()

    s, V = right_factors(as_float64(part).cpu() for part in torch.split(weight, HEAD_BLOCK))
    if not len(s):
        raise CheckpointError("the LM head is zero; it has no rank to restrict")
    found = []
    for method in methods:
        A = rotation(method, s, V, C)
        into = V @ (A / s[:, None])
        factor = torch.cat([(as_float64(part).cpu() @ into).float() for part in torch.split(weight, HEAD_BLOCK)])
        rows = (s[:, None] * A).square().sum(dim=0).flip(0).cumsum(0).flip(0).numpy()
        found.append(
            NestedHead(
                method,
                factor.to(weight.device),
                (V @ (s[:, None] * A)).float().to(weight.device),
                np.append(rows, 0.0),
            )
        )
    return found


def gradient_lost(
    states: torch.Tensor, targets: torch.Tensor, losses: torch.Tensor, head: OutputHead, basis: torch.Tensor
) -> torch.Tensor:
    """The share of each token's logit gradient that the head cannot pass back to the states.

    Formula: 1 − ‖P_W g‖ / ‖g‖, g = (p − onehot(y)) ⊙ f′(z) the gradient of the loss with respect to z = h Wᵀ + b, P_W
    the projection on the columns of W. Tiles of the vocabulary are made one after another, with
    ln Σ exp f(z) = ℓ + f(z_y).

    Args:
        states: h, N × d float32.
        targets: y, N.
        losses: ℓ, N, of the full head.
        head: the full head.
        basis: orthonormal basis of W's columns, V × ρ float32.

    Returns:
        N shares between 0 and 1, float32; 0 where the gradient is zero.

    Source: arXiv 2603.10145.
    """
    import torch

    def logits(W: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        z = states @ W.float().T
        return head.transform(z if bias is None else z + bias.float())

    own = (states * head.weight[targets].float()).sum(dim=1)
    own = head.transform(own if head.bias is None else own + head.bias[targets].float())
    total = losses + own
    whole, passed = torch.zeros_like(total), states.new_zeros(len(states), basis.shape[1])
    for first in range(0, len(head.weight), HEAD_BLOCK):
        rows = slice(first, first + HEAD_BLOCK)
        z = logits(head.weight[rows], None if head.bias is None else head.bias[rows])
        slope = head.transform.slope(z)
        g = (z - total.unsqueeze(1)).exp_()
        here = (targets >= first) & (targets < first + len(z[0]))
        g[here.nonzero()[:, 0], targets[here] - first] -= 1
        g *= slope
        whole += g.square().sum(dim=1)
        passed += g @ basis[rows]
    share = passed.square().sum(dim=1) / whole.clamp(min=torch.finfo(torch.float32).tiny)
    return torch.where(whole > 0, 1 - share.clamp(max=1).sqrt(), torch.zeros_like(share))
