"""Losses and entropies by tiles of whole rows, as large as a CPU or an accelerator takes them."""

from __future__ import annotations

import pytest
import torch
from heads import PLAIN

from degen.forward import head_entropy
from degen.forward.head_entropy import losses_and_entropies
from degen.probe import OutputHead


@pytest.mark.parametrize("logits", [1, 3 * 50, 7 * 50, 1 << 26])
def test_tiles_of_any_size_give_the_figures_of_whole_logits(logits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    states, targets = torch.randn(20, 8), torch.randint(50, (20,))
    head = OutputHead(torch.randn(50, 8), torch.randn(50), PLAIN)
    log_p = (states.double() @ head.weight.double().T + head.bias.double()).log_softmax(dim=1)
    monkeypatch.setattr(head_entropy, "CPU_LOGITS", logits)
    losses, entropies = losses_and_entropies(states, targets, head)
    assert torch.allclose(losses.double(), -log_p[torch.arange(20), targets], rtol=0, atol=1e-5)
    assert torch.allclose(entropies.double(), -(log_p.exp() * log_p).sum(dim=1), rtol=0, atol=1e-5)
