"""Next-token cross-entropy from states and head, without the logits of all tokens at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .architecture import LogitTransform

if TYPE_CHECKING:
    import torch

TILE_TOKENS = 1024
TILE_ROWS = 8192  # 1024 × 8192 float32 logits: 32 MB, the size at which the CPU's cache still helps


def token_losses(states: torch.Tensor, targets: torch.Tensor, head: Any, transform: LogitTransform) -> torch.Tensor:
    """Cross-entropy of each token, over tiles of tokens × vocabulary.

    Formula: ℓᵢ = ln Σ_v exp(zᵢᵥ) − z_{i,yᵢ}, z = f(h Wᵀ + b), with a running maximum over the tiles of the
    vocabulary (Milakov and Gimelshein 2018, online softmax). Logits are made in the dtype of the model, as it makes
    them itself, and summed in float32.

    Args:
        states: h, N × d, what the head receives.
        targets: y, N, ids of the tokens to come.
        head: a linear module with `weight` (V × d) and perhaps `bias`.
        transform: f, the model's scale and cap.

    Returns:
        N losses in nats, float32.
    """
    import torch

    weight, bias = head.weight, getattr(head, "bias", None)
    size = min(TILE_TOKENS, len(states)) * min(TILE_ROWS, len(weight))
    tile = torch.empty(size, dtype=torch.float32, device=states.device)
    losses = torch.empty(len(states), dtype=torch.float32, device=states.device)
    for first in range(0, len(states), TILE_TOKENS):
        h, y = states[first : first + TILE_TOKENS], targets[first : first + TILE_TOKENS]
        top = torch.full((len(h),), -torch.inf, device=states.device)
        total, chosen = torch.zeros_like(top), torch.zeros_like(top)
        for row in range(0, len(weight), TILE_ROWS):
            W = weight[row : row + TILE_ROWS]
            z = transform(_logits(h, W, None if bias is None else bias[row : row + TILE_ROWS], tile))
            local = y - row
            inside = (local >= 0) & (local < len(W))
            picked = z.gather(1, local.clamp(0, len(W) - 1).unsqueeze(1)).squeeze(1)
            chosen = torch.where(inside, picked, chosen)
            higher = torch.maximum(top, z.amax(dim=1))
            total = total * (top - higher).exp() + z.sub_(higher.unsqueeze(1)).exp_().sum(dim=1)
            top = higher
        losses[first : first + TILE_TOKENS] = top + total.log() - chosen
    return losses


def _logits(h: torch.Tensor, W: torch.Tensor, bias: torch.Tensor | None, tile: torch.Tensor) -> torch.Tensor:
    """H Wᵀ + b as float32 in the memory of `tile`."""
    import torch

    z = tile[: len(h) * len(W)].view(len(h), len(W))
    if h.dtype == torch.float32:
        torch.mm(h, W.t(), out=z)
        return z if bias is None else z.add_(bias)
    return z.copy_(torch.nn.functional.linear(h, W, bias))
