"""Tiny models of every treatment of head and norm, their checkpoints, and a corpus whose windows differ in length."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from degen.demo import corpus_path, series_paths

ROWS = 656  # of the head; the demo's tokenizer has 640 ids
VOCABULARY = 640
WIDTH, LAYERS, POSITIONS = 32, 2, 128
TOKENIZER = series_paths()[0]


@dataclass(frozen=True)
class Family:
    """A tiny model.

    Attributes:
        shows: what is particular about it.
        model_type: of transformers.
        settings: of its configuration, beside the common ones.
        blocks: where it keeps its blocks.
        scale: of its random matrices, so that its figures are far from degenerate.
    """

    shows: str
    model_type: str
    settings: dict[str, Any]
    blocks: str = "model.layers"
    scale: float = 8.0


_GROUPED = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64}
_OPT = {"num_attention_heads": 4, "ffn_dim": 64, "dropout": 0.0}
_CAPPED = {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 16}

FAMILIES = {
    "pythia": Family("untied head, parallel blocks", "gpt_neox",
                     {"num_attention_heads": 4, "intermediate_size": 64, "rotary_pct": 0.25}, "gpt_neox.layers"),
    "gpt2": Family("tied head, learned positions", "gpt2",
                   {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4, "n_positions": POSITIONS}, "transformer.h"),
    "opt-125m": Family("tied head, norm before", "opt",
                       {**_OPT, "word_embed_proj_dim": WIDTH, "do_layer_norm_before": True}, "model.decoder.layers"),
    "opt-350m": Family("projection before the head, no final norm", "opt",
                       {**_OPT, "word_embed_proj_dim": 16, "do_layer_norm_before": False}, "model.decoder.layers"),
    "gemma": Family("norm of 1 + w, scaled embedding", "gemma", {**_GROUPED, "num_key_value_heads": 1, "head_dim": 8}),
    "gemma2": Family("caps on logits and attention", "gemma2",
                     {**_GROUPED, **_CAPPED, "final_logit_softcapping": 5.0, "attn_logit_softcapping": 5.0}),
    "gemma3": Family("two kinds of attention", "gemma3_text",
                     {**_GROUPED, **_CAPPED, "layer_types": ["sliding_attention", "full_attention"]}),
    "llama": Family("untied head, RMS norm", "llama", _GROUPED),
    "phi": Family("bias on the head", "phi", {"num_attention_heads": 4, "intermediate_size": 64}),
    "mixtral": Family("mixture of experts", "mixtral",
                      {**_GROUPED, "intermediate_size": 48, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "cohere": Family("logits multiplied", "cohere", {**_GROUPED, "logit_scale": 0.25}),
    "granite": Family("logits divided", "granite", {**_GROUPED, "logits_scaling": 3.0}),
    "mamba": Family("recurrent", "mamba", {"state_size": 4, "expand": 2, "time_step_rank": 4},
                    "backbone.layers", 2.0),
}  # fmt: skip


def make_config(family: Family) -> Any:
    """Return the configuration of a tiny model."""
    common = {
        "vocab_size": ROWS, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "max_position_embeddings": POSITIONS,
        "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None,
    }  # fmt: skip
    settings = common | family.settings
    if "n_embd" in settings:  # GPT-2 names its sizes otherwise
        for name in ("hidden_size", "num_hidden_layers", "max_position_embeddings"):
            settings.pop(name)
    return AutoConfig.for_model(family.model_type, **settings)


def make_checkpoint(folder: Path, family: Family, dtype: torch.dtype) -> Path:
    """Save a random tiny model in a dtype, drawn on the CPU."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(make_config(family), dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(family.scale)
            else:  # norms and biases start out alike everywhere, which would hide a mistake about them
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.to(dtype).save_pretrained(folder)
    return folder


def make_corpus(file: Path, documents: int = 9) -> Path:
    """Write documents of the demo's corpus, every second one cut short, so that batches are padded."""
    with gzip.open(corpus_path(), "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(documents), strict=False)]
    cut = [text[: 70 + 9 * i] if i % 2 else text for i, text in enumerate(texts)]
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in cut), encoding="utf-8")
    return file
