from __future__ import annotations

from pathlib import Path

import pytest
import torch
from adapters import load_base, quiet
from deltas import LINEAR, TASK
from tiny import make_checkpoint

from degen.delta.training_cost import TrainingCost, training_costs

OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "adamw": torch.optim.AdamW,
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bytes_are_those_that_torch_holds(tmp_path: Path, optimizer: str, dtype: str) -> None:
    from peft import LoraConfig, get_peft_model

    base = make_checkpoint(tmp_path / "base", "llama")
    with quiet():
        model = get_peft_model(load_base(base), LoraConfig(r=4, target_modules=LINEAR, **TASK)).to(
            getattr(torch, dtype)
        )
    parameters = [p for p in model.parameters() if p.requires_grad]
    made = OPTIMIZERS[optimizer](parameters)
    model(input_ids=torch.arange(8)[None], labels=torch.arange(8)[None]).loss.backward()
    made.step()
    cost = TrainingCost(sum(p.numel() for p in parameters), dtype, optimizer)
    assert cost.gradients == sum(p.grad.nbytes for p in parameters if p.grad is not None)
    held = [t for state in made.state.values() for t in state.values() if isinstance(t, torch.Tensor) and t.dim()]
    assert cost.states == sum(tensor.nbytes for tensor in held)


def test_costs_beside_the_whole_model() -> None:
    rows = {(row["dtype"], row["optimizer"]): row for row in training_costs(1000, 50_000)}
    assert rows["float32", "adamw"] == {
        "dtype": "float32", "optimizer": "adamw", "gradient_bytes": 4000, "state_bytes": 8000,
        "full_gradient_bytes": 200_000, "full_state_bytes": 400_000,
    }  # fmt: skip
    assert rows["bfloat16", "adamw-8bit"]["state_bytes"] == 2000
    assert {row["full_state_bytes"] for row in training_costs(1000, None)} == {None}
