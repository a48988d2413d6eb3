"""Checkpoints as training leaves them, written by the real thing: Lightning, a loop like nanoGPT's, torch."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import torch
from tiny import LAYERS, PADDED, POSITIONS, WIDTH, make_model
from torch import nn


def pieces() -> torch.Tensor:
    """Return a few windows of token ids."""
    return torch.arange(4 * 16).reshape(4, 16) % PADDED


def train_with_lightning(folder: Path, family: str = "llama", steps: int = 2, **changes: Any) -> Any:
    """Train a tiny model by Lightning's Trainer, a checkpoint a step into `folder`; return the model as it ends."""
    import lightning
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Module(lightning.LightningModule):
        def __init__(self, rate: float) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.model = make_model(family, **changes)

        def training_step(self, batch: Any, _: int) -> Any:
            return self.model(input_ids=batch, labels=batch).loss

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=self.hparams["rate"])

    module = Module(1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about workers and loggers
        trainer = lightning.Trainer(
            max_steps=steps, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
            callbacks=[ModelCheckpoint(folder, save_top_k=-1, every_n_train_steps=1, save_last=True)],
        )  # fmt: skip
        trainer.fit(module, torch.utils.data.DataLoader(list(pieces()), batch_size=2))
    return module.model.eval()


class Block(nn.Module):
    """A block as nanoGPT's, its names and its order of calls."""

    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width, bias=bias), nn.LayerNorm(width, bias=bias)
        self.attn = nn.ModuleDict(
            {"c_attn": nn.Linear(width, 3 * width, bias=bias), "c_proj": nn.Linear(width, width, bias=bias)}
        )
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(width, 4 * width, bias=bias), "c_proj": nn.Linear(4 * width, width, bias=bias)}
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, C = x.shape
        q, k, v = (
            part.view(B, T, self.heads, C // self.heads).transpose(1, 2)
            for part in self.attn["c_attn"](self.ln_1(x)).split(C, dim=2)
        )
        seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn["c_proj"](seen.transpose(1, 2).reshape(B, T, C))
        hidden: torch.Tensor = x + self.mlp["c_proj"](nn.functional.gelu(self.mlp["c_fc"](self.ln_2(x))))
        return hidden


class NanoGpt(nn.Module):
    """A model as nanoGPT's: GPT-2 with linear layers, perhaps without biases, head and embedding tied."""

    def __init__(self, bias: bool = False) -> None:
        super().__init__()
        self.model_args = {"n_layer": LAYERS, "n_head": 4, "n_embd": WIDTH, "block_size": POSITIONS, "bias": bias,
                           "vocab_size": PADDED, "dropout": 0.0}  # fmt: skip
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(PADDED, WIDTH),
                "wpe": nn.Embedding(POSITIONS, WIDTH),
                "h": nn.ModuleList(Block(WIDTH, 4, bias) for _ in range(LAYERS)),
                "ln_f": nn.LayerNorm(WIDTH, bias=bias),
            }
        )
        self.lm_head = nn.Linear(WIDTH, PADDED, bias=False)
        self.lm_head.weight = self.transformer["wte"].weight
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.1 / math.sqrt(2 * LAYERS) if "c_proj" in name else 0.1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.transformer["wte"](ids) + self.transformer["wpe"](torch.arange(ids.shape[1]))
        for block in self.transformer["h"]:
            x = block(x)
        logits: torch.Tensor = self.lm_head(self.transformer["ln_f"](x))
        return logits


def train_like_nanogpt(file: Path, bias: bool = False, compiled: bool = True, steps: int = 2) -> NanoGpt:
    """Train a tiny model in a loop, save it as nanoGPT does, and return it; a compiled model's names have a prefix."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = NanoGpt(bias)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(steps):
        logits = model(pieces()[:, :-1])
        nn.functional.cross_entropy(logits.flatten(0, 1), pieces()[:, 1:].flatten()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    prefix = "_orig_mod." if compiled else ""
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "model": {prefix + key: value for key, value in model.state_dict().items()},
            "optimizer": optimizer.state_dict(), "model_args": model.model_args, "iter_num": steps,
            "best_val_loss": torch.tensor(3.0), "config": {"out_dir": "out", "compile": compiled},
        },
        file,
    )  # fmt: skip
    return model.eval()


def as_transformers_gpt2(model: NanoGpt) -> Any:
    """Return GPT-2 of transformers with the weights of a model of nanoGPT, put in by hand, name by name."""
    from transformers import GPT2Config, GPT2LMHeadModel

    args = model.model_args
    gpt2 = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=args["vocab_size"], n_positions=args["block_size"], n_embd=args["n_embd"],
            n_layer=args["n_layer"], n_head=args["n_head"], activation_function="gelu", resid_pdrop=0.0,
            embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=None, eos_token_id=None,
        )
    )  # fmt: skip
    state = model.state_dict()
    with torch.no_grad():
        for name, parameter in gpt2.named_parameters():
            stored = state.get(name)
            if stored is None:
                parameter.zero_()  # a bias that nanoGPT has not
            else:
                parameter.copy_(stored.t() if ".c_" in name and stored.dim() == 2 else stored)
    return gpt2.eval()
