"""The share of the logit gradient that the LM head cannot pass back: what lies outside the columns of W."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats, Ints
from degen.device import as_float64
from degen.model.lm_head import HEAD_BLOCK
from degen.probe import Batch, OutputHead
from degen.stats.jackknife import ratio_error

if TYPE_CHECKING:
    import torch


class GradientShare:
    """The mean share of the logit gradient that is lost, over the scored tokens of many batches.

    Args:
        head: the full head.
        windows: how many windows the sample has.
    """

    def __init__(self, head: OutputHead, windows: int) -> None:
        self._head = head
        self._sums: Floats = np.zeros(windows)  # Σ shares by window

    def add(self, batch: Batch, states: torch.Tensor, losses: torch.Tensor, basis: torch.Tensor) -> None:
        """Add the scored tokens of a batch.

        Args:
            batch: some windows.
            states: h, N × d float32, of the N tokens that count.
            losses: ℓ of every token, B × (T − 1), nats.
            basis: orthonormal basis of W's columns, V × ρ float32.
        """

        def add(shares: Floats, rows: Ints) -> None:
            np.add.at(self._sums, batch.windows[rows], shares)

        at = batch.scored_at
        shares = gradient_lost(states, batch.ids[:, 1:][at], losses[at], self._head, basis)
        batch.read(add, as_float64(shares), at[0])

    def columns(self, scored: Floats, documents: Ints) -> dict[str, float | None]:
        """Return the columns `gradient_lost` and `gradient_lost_se` of table `checkpoints`.

        Formula: Σ shares / Σ tokens, and its delete-one-document jackknife standard error.

        Args:
            scored: the number of scored tokens of each window.
            documents: the index of the document of each window.
        """
        return {
            "gradient_lost": float(self._sums.sum() / scored.sum()),
            "gradient_lost_se": ratio_error(self._sums, scored, documents),
        }


def gradient_lost(
    states: torch.Tensor, targets: torch.Tensor, losses: torch.Tensor, head: OutputHead, basis: torch.Tensor
) -> torch.Tensor:
    """Return the share of each token's logit gradient that the head cannot pass back to the states.

    Formula: 1 − ‖P_W g‖ / ‖g‖, g = (p − onehot(y)) ⊙ f′(z) the gradient of the loss with respect to z = h Wᵀ + b, P_W
    the projection on the columns of W. Logits are computed for a part of the vocabulary at a time, with
    ln Σ exp f(z) = ℓ + f(z_y).

    Args:
        states: h, N × d float32.
        targets: y, the ids of the tokens to predict, shape (N,).
        losses: ℓ, the losses of the full head in nats, shape (N,).
        head: the full head.
        basis: an orthonormal basis of W's columns, V × ρ float32.

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
