"""nanoGPT: its `model_args` as a configuration of GPT-2, its weights as GPT-2's.

GPT-2 of transformers keeps the matrices of its blocks as x·W, input by output (Conv1D), nanoGPT as W·x (Linear); where
nanoGPT trains without biases GPT-2 has biases of zero.

Source: https://github.com/karpathy/nanoGPT, model.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from degen.errors import CheckpointError

if TYPE_CHECKING:
    import torch

_SIZES = {"n_layer": "n_layer", "n_head": "n_head", "n_embd": "n_embd", "block_size": "n_positions",
          "vocab_size": "vocab_size"}  # fmt: skip
MAX_SIZE = 1 << 24  # of any of them
_CONV1D = re.compile(r"(^|\.)h\.\d+\.(attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.weight$")
_WITH_BIAS = re.compile(r"((^|\.)(ln_1|ln_2|ln_f|attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj))\.weight$")
_MASK = re.compile(r"(^|\.)attn\.bias$")  # of its attention, computed


def gpt2_configuration(location: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of GPT-2's configuration for `model_args`.

    The activation is the exact GELU, as nanoGPT has had it since 2023; a config.json beside the file, or
    `--model-config`, says another one.

    Raises:
        CheckpointError: one is missing or no size.
    """
    entries: dict[str, Any] = {}
    for name, entry in _SIZES.items():
        value = arguments.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_SIZE:
            raise CheckpointError(
                f"{location}: its model_args have no {name}; name a configuration with --model-config"
            )
        entries[entry] = value
    return {
        "model_type": "gpt2", **entries, "activation_function": "gelu", "resid_pdrop": 0.0, "embd_pdrop": 0.0,
        "attn_pdrop": 0.0, "bos_token_id": None, "eos_token_id": None, "architectures": ["GPT2LMHeadModel"],
    }  # fmt: skip


def as_gpt2(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of a state dict as GPT-2 of transformers has them, where they are nanoGPT's; else as they are.

    They are nanoGPT's where `c_attn` is 3d × d.
    """
    import torch

    attention = [t for key, t in tensors.items() if key.endswith("attn.c_attn.weight") and t.dim() == 2]
    if not attention or any(t.shape[0] != 3 * t.shape[1] for t in attention):
        return dict(tensors)
    changed = {}
    for key, tensor in tensors.items():
        if _MASK.search(key):
            continue
        is_linear = _CONV1D.search(key) is not None and tensor.dim() == 2
        changed[key] = tensor.t() if is_linear else tensor
        bias = f"{key.removesuffix('weight')}bias"
        if _WITH_BIAS.search(key) and bias not in tensors:
            changed[bias] = torch.zeros(tensor.shape[0], dtype=tensor.dtype)
    return changed
