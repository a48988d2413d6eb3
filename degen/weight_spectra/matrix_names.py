"""What a weight matrix is, by the name of its tensor: its kind, and the block that it is in."""

from __future__ import annotations

import re

from degen.weights.stored_tensors import EMBEDDING_KEYS, HEAD_KEYS
from degen.weights.tensor_kinds import WRAPPERS

# The last part of a module's name -> the kind of its matrix, in any family.
_KINDS = {
    "attention_q": ("q_proj", "query", "wq", "attn_q", "q_a_proj", "q_b_proj", "attn_q_a", "attn_q_b", "q_lin"),
    "attention_k": ("k_proj", "key", "wk", "attn_k", "k_lin"),
    "attention_v": ("v_proj", "value", "wv", "attn_v", "v_lin"),
    "attention_kv": ("kv_a_proj_with_mqa", "kv_b_proj", "attn_kv_a_mqa", "attn_kv_b"),
    "attention_qkv": ("query_key_value", "qkv_proj", "Wqkv", "qkv", "attn_qkv", "c_attn"),
    "attention_output": ("o_proj", "attn_output", "out_lin"),
    "mlp_gate": ("gate_proj", "w1", "ffn_gate", "ffn_gate_exps", "ffn_gate_shexp"),
    "mlp_up": ("up_proj", "w3", "fc1", "fc_in", "c_fc", "dense_h_to_4h", "ffn_up", "ffn_up_exps", "ffn_up_shexp"),
    "mlp_gate_up": ("gate_up_proj", "ffn_gate_up_exps"),
    "mlp_down": ("down_proj", "w2", "fc2", "fc_out", "dense_4h_to_h", "ffn_down", "ffn_down_exps", "ffn_down_shexp"),
    "router": ("gate", "router", "ffn_gate_inp"),
    "position_embedding": ("wpe", "embed_positions", "position_embd"),
}  # fmt: skip
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}
# Names that mean one thing within an attention and another outside.
_IN_ATTENTION = {"dense": "attention_output", "c_proj": "attention_output", "out_proj": "attention_output",
                 "wo": "attention_output"}  # fmt: skip
_OUTSIDE = {"c_proj": "mlp_down", "wo": "mlp_down"}
_ATTENTION = re.compile(r"(^|\.)(self_)?(attn|attention)(\.|$)")
_BLOCK = re.compile(r"(?:^|\.)(?:layers?|h|blocks?|blk)\.(\d+)\.")
_WEIGHT = re.compile(r"\.(weight|weights|kernel)$")


def kind_of(key: str) -> str:
    """Return the kind of a matrix by the name of its tensor; `other` where no family is known to use the name."""
    key = WRAPPERS.sub("", key)
    if key in HEAD_KEYS:
        return "head"
    if key in EMBEDDING_KEYS:
        return "embedding"
    module = _WEIGHT.sub("", key)
    parent, _, name = module.rpartition(".")
    of_parent = _IN_ATTENTION if _ATTENTION.search(parent) else _OUTSIDE
    return of_parent.get(name) or _KIND_OF.get(name, "other")


def layer_of(key: str) -> int | None:
    """Return the number of the block that a tensor is in, from 1 as in table `layers`; None outside the blocks."""
    found = _BLOCK.search(WRAPPERS.sub("", key))
    return int(found[1]) + 1 if found else None
