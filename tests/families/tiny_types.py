"""Every causal-LM type of transformers as a tiny random model: its default configuration, with all sizes made small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).with_name("configs")  # of types that are not small by the names below
ROWS = 416  # rows of every head; the tokenizer has 400
LAYERS = 3

# Sizes by the names that configurations give them; a type takes those that its default configuration has.
SIZES: dict[str, Any] = {
    "vocab_size": ROWS, "vocab_size_per_layer_input": ROWS,
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "emb_dim", "dim", "word_embed_proj_dim", "lm_hidden_size",
                     "embedding_size", "lru_width", "attention_hidden_size"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "n_inner", "dff", "ffn_hidden_size", "encoder_ffn_dim",
                     "decoder_ffn_dim", "moe_intermediate_size", "shared_expert_intermediate_size",
                     "shared_intermediate_size", "expert_ffn_hidden_size", "intermediate_size_mlp",
                     "moe_shared_expert_intermediate_size", "block_auto_adjust_ff_dim", "dim_ff",
                     "block_ff_dim", "expert_intermediate_size", "dense_intermediate_size"), 64),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers", "encoder_layers",
                     "num_decoder_layers", "num_encoder_layers"), LAYERS),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads",
                     "encoder_attention_heads", "num_decoder_attention_heads", "num_encoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads", "swa_num_key_value_heads"), 2),
    "head_dim": 8, "hidden_size_per_layer_input": 8, "global_head_dim": 8, "v_head_dim": 8, "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4, "qk_head_dim": 12,
    "attention_head_dim": 8, "kv_channels": 8, "swa_head_dim": 8,
    "kv_lora_rank": 16, "q_lora_rank": 16, "o_lora_rank": 16, "index_n_heads": 2, "index_head_dim": 8, "index_topk": 64,
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "top_k_experts", "moe_topk", "num_experts_per_token"), 2),
    "n_shared_experts": 1, "num_shared_experts": 1, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
    "max_position_embeddings": 256, "n_positions": 256, "max_seq_len": 256, "max_sequence_length": 256, "n_ctx": 256,
    "sliding_window": 16, "attention_window_size": 16, "local_attention": 16, "window_size": 16, "chunk_size": 16,
    "attention_chunk_size": 16, "state_size": 4, "ssm_state_size": 4, "mamba_d_state": 4, "time_step_rank": 4,
    "mamba_dt_rank": 4, "mamba_d_head": 16, "mamba_n_heads": 4, "mamba_num_heads": 4, "mamba_head_dim": 16,
    "mamba_d_ssm": 64, "mamba_n_groups": 1, "n_groups": 1, "mamba_headdim": 16, "n_mamba_heads": 4, "mamba_ngroups": 1,
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "rotary_dim": 4, "pad_token_id": None, "bos_token_id": 0, "eos_token_id": 0, "decoder_start_token_id": 0,
    "num_nextn_predict_layers": 0, "laurel_rank": 8, "altup_num_inputs": 2, "num_kv_shared_layers": 0,
    "vision_config": None, "audio_config": None, "dropout": 0.0, "rnn_hidden_size": 32, "default_numeric": None,
}  # fmt: skip
# Lists of one entry a layer: they are cut to as many layers.
LISTS = ("layer_types", "mlp_layer_types", "layers_block_type", "no_rope_layers", "moe_layer_freq", "attention_types",
         "activation_sparsity_pattern", "block_types", "mlp_only_layers", "full_attn_idxs")  # fmt: skip


def causal_types() -> list[str]:
    """Return all types that transformers builds as a causal LM."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def small(default: dict[str, Any]) -> dict[str, Any]:
    """Return what to change in a configuration to make it small."""
    changes: dict[str, Any] = {}
    for name, value in default.items():
        if name == "text_config" and isinstance(value, dict):
            changes[name] = small(value)
            if "model_type" in value:
                changes[name]["model_type"] = value["model_type"]
        elif name in LISTS and isinstance(value, list | tuple) and len(value) > LAYERS:
            changes[name] = list(dict.fromkeys(value))[:LAYERS]
            changes[name] += list(value)[len(changes[name]) : LAYERS]
        elif name in SIZES and isinstance(value, list):
            changes[name] = [SIZES[name]] * LAYERS
        elif name in SIZES and not isinstance(value, dict):
            changes[name] = SIZES[name]
    return changes


def make_config(kind: str) -> Any:
    """Return the tiny configuration of a type."""
    from transformers import AutoConfig

    if (file := CONFIGS / f"{kind}.json").is_file():
        settings = json.loads(file.read_text())
        settings.pop("model_type", None)
        return AutoConfig.for_model(kind, **settings)
    return AutoConfig.for_model(kind, **small(AutoConfig.for_model(kind).to_dict()))


def make_model(kind: str) -> Any:
    """Return a random tiny model of a type, its matrices scaled up so that its figures are far from degenerate."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(make_config(kind)).eval()
        with torch.no_grad():
            for p in model.parameters():
                if p.is_floating_point():
                    p.mul_(2.0) if p.dim() > 1 else p.add_(0.05 * torch.randn_like(p))
    return model
