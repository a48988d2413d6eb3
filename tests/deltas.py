"""Adapters of every kind for the tests of updates, trained for real, and what PEFT merges them to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from adapters import adapted, load_base, quiet

from degen.checkpoints.local import LocalSource
from degen.delta.sources import open_updates
from degen.delta.update import Updates

LINEAR = ["q_proj", "v_proj", "down_proj"]
TASK = {"task_type": "CAUSAL_LM"}


def _config(name: str, **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        import peft

        with quiet():
            return getattr(peft, f"{name}Config")(**TASK, **options)

    return make


# Kind and configuration of every adapter that is read module by module: one for each branch of the formulas.
READ: Mapping[str, tuple[str, Callable[[], Any]]] = {
    "lora": ("lora", _config("Lora", r=4, target_modules=[*LINEAR, "lm_head"])),
    "lora of an embedding": ("lora", _config("Lora", r=4, target_modules=["embed_tokens", "q_proj"])),
    "lora by patterns": (
        "lora", _config("Lora", r=4, lora_alpha=3, target_modules=LINEAR, alpha_pattern={"q_proj": 5, "down_proj$": 2},
                        rank_pattern={r"layers\.1\.self_attn\.v_proj": 2})),
    "rslora": ("rslora", _config("Lora", r=4, use_rslora=True, target_modules=LINEAR)),
    "dora": ("dora", _config("Lora", r=4, use_dora=True, target_modules=LINEAR)),
    "adalora": ("adalora", _config("AdaLora", init_r=6, target_r=3, total_step=100, target_modules=LINEAR)),
    "ia3": ("ia3", _config("IA3", target_modules=LINEAR, feedforward_modules=["down_proj"])),
    "loha, thin": ("loha", _config("LoHa", r=3, target_modules=LINEAR)),
    "loha, as wide as W": ("loha", _config("LoHa", r=8, alpha=5, target_modules=LINEAR)),
    "lokr": ("lokr", _config("LoKr", r=2, target_modules=LINEAR)),
    "lokr of whole factors": ("lokr", _config("LoKr", r=64, alpha=7, decompose_both=True, target_modules=LINEAR)),
    "vera": ("vera", _config("Vera", r=4, target_modules=["q_proj", "o_proj"])),
    "vera drawn again": ("vera", _config("Vera", r=4, save_projection=False, target_modules=["q_proj", "o_proj"])),
    "oft": ("oft", _config("OFT", oft_block_size=8, target_modules=LINEAR)),
    "oft, three terms": ("oft", _config("OFT", oft_block_size=8, num_cayley_neumann_terms=3, target_modules=LINEAR)),
    "oft, exact and shared": (
        "oft", _config("OFT", oft_block_size=8, use_cayley_neumann=False, block_share=True, target_modules=LINEAR)),
    "oft, constrained": ("oft", _config("OFT", oft_block_size=8, coft=True, eps=1e-2, target_modules=LINEAR)),
    "modules_to_save": ("lora", _config("Lora", r=4, target_modules=LINEAR, modules_to_save=["lm_head"])),
    "trained tokens beside lora": ("lora", _config("Lora", r=4, target_modules=LINEAR, trainable_token_indices=[1, 5])),
    "trainable_tokens": ("trainable_tokens", _config("TrainableTokens", token_indices=[3, 4])),
    "ln_tuning": ("ln_tuning", _config("LNTuning")),
}  # fmt: skip


def train(folder: Path, base: Path, config: Any, steps: int = 3, save_every: int | None = None) -> Path:
    """Train an adapter with PEFT on random tokens, by AdamW, and save it as PEFT does; every few steps, if asked."""
    from peft import get_peft_model

    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = get_peft_model(load_base(base), config)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
        for step in range(1, steps + 1):
            ids = torch.randint(0, 300, (2, 12))
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if save_every is not None and step % save_every == 0:
                model.save_pretrained(folder / f"checkpoint-{step}")
        if save_every is None:
            model.save_pretrained(folder)
    return folder


def merged_changes(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    """Return what PEFT changes of every parameter when it merges an adapter, float64, a vector as a column."""
    with quiet():
        before = {name: p.detach().double() for name, p in load_base(base).named_parameters(remove_duplicate=False)}
        model = adapted(base, adapter).merge_and_unload()
        after = {name: p.detach().double() for name, p in model.named_parameters(remove_duplicate=False)}
    changes = {name: after[name] - value for name, value in before.items()}
    return {name: change if change.dim() > 1 else change[:, None] for name, change in changes.items()}


def open_adapter(adapter: Path, base: Path | None) -> Updates:
    """Return the updates of an adapter on a base."""
    return open_updates(LocalSource(adapter), LocalSource(base) if base is not None else None)
