"""Tiny models, tokenizers and corpora, all made from scratch: nothing is downloaded, nothing is a stand-in."""

from __future__ import annotations

import argparse
import functools
import inspect
import json
import random
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

END = "<|endoftext|>"
BEGIN = "<s>"
VOCABULARY = 400  # ids of the tokenizer
PADDED = 416  # rows of the head, more than the tokenizer has, as in published models
WIDTH = 32
LAYERS = 2
POSITIONS = 256

# One inline configuration a family: what is not said here is transformers' default for it.
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt_neox": {"num_attention_heads": 4, "intermediate_size": 64, "rotary_pct": 0.25},
    "gpt2": {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4, "n_positions": POSITIONS},
    "opt": {
        "num_attention_heads": 4, "ffn_dim": 64, "word_embed_proj_dim": WIDTH, "do_layer_norm_before": True,
        "dropout": 0.0,
    },
    "opt-350m": {
        "num_attention_heads": 4, "ffn_dim": 64, "word_embed_proj_dim": 16, "do_layer_norm_before": False,
        "dropout": 0.0,
    },
    "gemma": {"num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 64},
    "gemma2": {
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 64,
        "query_pre_attn_scalar": 8, "sliding_window": 16, "final_logit_softcapping": 5.0, "attn_logit_softcapping": 5.0,
    },
    "gemma3_text": {
        "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 64,
        "query_pre_attn_scalar": 8, "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"],
    },
    "llama": {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64},
    "mistral": {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64, "sliding_window": 16},
    "qwen2": {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64},
    "qwen3": {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 64},
    "gptj": {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4, "n_positions": POSITIONS, "rotary_dim": 4},
    "phi": {"num_attention_heads": 4, "intermediate_size": 64},
    "falcon": {"num_attention_heads": 4, "new_decoder_architecture": False, "alibi": False},
    "bloom": {"n_layer": LAYERS, "n_head": 4},
    "cohere": {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64, "logit_scale": 0.25},
    "granite": {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64, "logits_scaling": 3.0},
    "stablelm": {"num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 64},
    "olmo2": {"num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 64},
    "mixtral": {
        "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48, "num_local_experts": 4,
        "num_experts_per_tok": 2,
    },
    "mamba": {"state_size": 4, "expand": 2, "time_step_rank": 4},
}  # fmt: skip


@functools.lru_cache(maxsize=1)
def library_texts() -> tuple[str, ...]:
    """Return texts that every Python carries: sources of its own library."""
    modules = (argparse, functools, inspect, json, random, textwrap)
    return tuple(inspect.getsource(module) for module in modules)


def pile(count: int = 24, characters: int = 900, ragged: bool = False) -> list[dict[str, Any]]:
    """Return Pile-style records: pieces of the library's sources in three domains, other scripts among them.

    With `ragged` every second one is short, so that batches are padded.
    """
    text = "".join(library_texts())
    ends = [60 + 8 * (i % 5) if ragged and i % 2 else characters for i in range(count)]  # 60 characters: 20 tokens
    pieces = [text[i * characters : i * characters + ends[i]] for i in range(count)]
    pieces[1 % count] = "Ünïcödé – Ελληνικά, кириллица, 日本語, emoji 😀 and accents: élan vital. " * 12
    return [{"text": t, "meta": {"pile_set_name": ("Github", "Books3", "ArXiv")[i % 3]}} for i, t in enumerate(pieces)]


def make_corpus(path: str | Path, documents: Iterable[dict[str, Any] | str] | int = 24) -> Path:
    """Write JSON Lines with Pile-style `meta`; `documents` are records, texts, or how many to make up."""
    path = Path(path)
    records = pile(documents) if isinstance(documents, int) else documents
    lines = [json.dumps({"text": r} if isinstance(r, str) else r, ensure_ascii=False) for r in records]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@functools.lru_cache(maxsize=4)
def _trained(vocabulary: int, bos: bool) -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [END, BEGIN] if bos else [END]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([t[:20_000] for t in library_texts()], trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN} $B", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
        )
    return tokenizer.to_str()


def make_tokenizer(folder: str | Path, bos: bool = False, vocabulary: int = VOCABULARY) -> Path:
    """Train byte-level BPE as Pythia's, in `folder`; with `bos`, its own call puts a `<s>` before every text."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(_trained(vocabulary, bos), encoding="utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN if bos else END,
        "eos_token": END,
        "unk_token": END,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def make_config(family: str = "gpt_neox", **changes: Any) -> Any:
    """Return the configuration of a tiny model; `opt-350m` is an OPT shaped like that one."""
    from transformers import AutoConfig

    common = {
        "vocab_size": PADDED, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "max_position_embeddings": POSITIONS,
        "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None,
    }  # fmt: skip
    settings = common | FAMILIES[family] | changes
    if "n_embd" in settings or family == "bloom":  # these families name their sizes otherwise
        for name in ("num_hidden_layers", "max_position_embeddings"):
            settings.pop(name)
        if "n_embd" in settings:
            settings.pop("hidden_size")
    return AutoConfig.for_model("opt" if family == "opt-350m" else family, **settings)


def make_model(family: str = "gpt_neox", seed: int = 0, scale: float | None = None, **changes: Any) -> Any:
    """Make a random tiny model, its matrices scaled up so that its figures are far from degenerate."""
    import torch
    from transformers import AutoModelForCausalLM

    scale = scale if scale is not None else 2.0 if family == "mamba" else 8.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(make_config(family, **changes))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(scale)
                else:  # norms and biases start out alike everywhere, which would hide a mistake about them
                    parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def make_checkpoint(
    folder: str | Path, family: str = "gpt_neox", seed: int = 0, dtype: str = "float32", **changes: Any
) -> Path:
    """Save a random tiny model as transformers saves one: `config.json` and `model.safetensors`."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    make_model(family, seed, **changes).to(getattr(torch, dtype)).save_pretrained(folder)
    return folder


def make_series(
    folder: str | Path,
    steps: Sequence[int] = (0, 100, 1000),
    family: str = "gpt_neox",
    bos: bool = False,
    dtype: str = "float32",
    **changes: Any,
) -> Path:
    """Make a folder of checkpoints `step0`, `step100`, …, each of its own seed, with the tokenizer at its root."""
    folder = make_tokenizer(folder, bos=bos)
    for step in steps:
        make_checkpoint(folder / f"step{step}", family, seed=step + 1, dtype=dtype, **changes)
    return folder
