"""Cross-entropy and entropy of what a head predicts, from a few states, without the logits of all of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from degen.probe import OutputHead

from .cross_entropy import DEVICE_LOGITS

if TYPE_CHECKING:
    import torch

CPU_LOGITS = 1 << 23  # of a tile, whole rows of the vocabulary: 32 MB of float32


def losses_and_entropies(
    states: torch.Tensor, targets: torch.Tensor, head: OutputHead
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cross-entropy of each token, and the entropy of the distribution that the head gives there.

    Formulas: p = softmax(f(h Wᵀ + b)), ℓᵢ = −ln p_{i,yᵢ}, Hᵢ = −Σ_v p_{iv} ln p_{iv}, with 0·ln 0 = 0. Logits are
    computed in the dtype of the model, and what follows in float32, or in float64 for a model of float64.

    Args:
        states: h, n × d, what the head receives.
        targets: y, n, ids of the next tokens.
        head: of the model.

    Returns:
        ℓ and H, n each, in nats.
    """
    import torch

    dtype = torch.promote_types(states.dtype, torch.float32)
    losses, entropies = (torch.empty(len(states), dtype=dtype, device=states.device) for _ in range(2))
    tokens = max((CPU_LOGITS if states.device.type == "cpu" else DEVICE_LOGITS) // len(head.weight), 1)
    for first in range(0, len(states), tokens):
        part = slice(first, first + tokens)
        z = head.transform(torch.nn.functional.linear(states[part], head.weight, head.bias).to(dtype))
        log_p = z.log_softmax(dim=1)
        losses[part] = -log_p.gather(1, targets[part].unsqueeze(1)).squeeze(1)
        entropies[part] = torch.special.entr(log_p.exp_()).sum(dim=1)
    return losses, entropies
