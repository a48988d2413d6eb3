"""Every causal-LM type of transformers as a tiny random model: its default configuration, with all sizes made small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).with_name("configs")  # of types that are not small by the names below
ROWS = 416  # rows of every head; the tokenizer has 400
LAYERS = 3
LARGEST = 5_000_000  # parameters

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
ABSENT = object()
DECODER = {"is_decoder": True}  # types that see all tokens unless they are told otherwise
PADDED = {"pad_token_id": 1} | DECODER  # types that look the padding's id up
TOWER = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
         "patch_size": 14, "output_channels": 16, "window_size": 2, "global_attn_indexes": [], "mlp_dim": 16,
         "num_pos_feats": 8}  # fmt: skip
QWEN4 = {"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 64,
         "indexer_compress_ratio": 4, "hc_lowrank": 8, "ple_embed_dim": 32}  # fmt: skip
MLA = {"head_dim": 4, "num_key_value_heads": 4}  # of the rotary part of a latent attention
# What single types need beside that.
SETTINGS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("camembert", "data2vec-text", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl",
                     "modernbert-decoder", "xmod"), PADDED),
    **dict.fromkeys(("bert", "bert-generation", "big_bird", "electra", "ernie", "megatron-bert", "rembert", "roformer"),
                    DECODER),
    "emu3": {"text_config": {"pad_token_id": 1}},
    "gemma4": {"text_config": {"pad_token_id": 0}},
    "gemma4_unified": {"text_config": {"pad_token_id": 0}},
    "qwen4_exp_text": QWEN4,
    "qwen4_exp": {"text_config": QWEN4},
    "reformer": {"is_decoder": True, "axial_pos_embds_dim": [16, 16], "axial_pos_shape": [16, 16], "attn_layers": [
        "local", "lsh", "local"]},
    "bamba": {"attn_layer_indices": [1]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention", "linear_attention"]},
    "cohere_compass_text": {"rope_parameters": {
        name: {"rope_type": "default", "rope_theta": 10000.0} for name in ("full_attention", "sliding_attention")}},
    "dbrx": {"n_heads": 4, "attn_config": {"kv_n_heads": 2}, "ffn_config": {
        "hidden_size": 32, "ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2}},
    "dots3_note_text": {"num_key_value_heads": 4, "qk_rope_head_dim": 8, "head_dim": ABSENT,
                        "layer_types": ["indexed_attention", "sliding_attention", "indexed_attention"],
                        "per_layer_config": {}},
    "dots3_note": {"text_config": {"num_key_value_heads": 4}},
    "gemma3": {"vision_config": TOWER},
    "got_ocr2": {"vision_config": TOWER},
    "git": {"vision_config": TOWER},
    "gpt_neo": {"num_layers": 2, "attention_types": [[["global", "local"], 1]]},
    "lfm2": {"block_auto_adjust_ff_dim": False},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv"], "num_dense_layers": 1},
    "mamba2": {"num_heads": 4, "head_dim": 16},
    "roc_bert": DECODER | {"pronunciation_vocab_size": 64, "shape_vocab_size": 64, "pronunciation_embed_dim": 16,
                 "shape_embed_dim": 16},
    "xmod": PADDED | {"languages": ["en_XX"], "default_language": "en_XX"},
    "zaya": {"num_experts_per_tok": 1},
    "zamba": {"attention_head_dim": 16, "attention_hidden_size": 64},
    "zamba2": {"attention_head_dim": 16, "attention_hidden_size": 64},
    **dict.fromkeys(("axk1", "axk2", "bailing_hybrid", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite",
                     "glm_moe_dsa", "kimi_linear", "youtu"), MLA),
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
        elif name in SIZES and not isinstance(value, dict | bool):
            changes[name] = SIZES[name]
    return changes


def make_config(kind: str) -> Any:
    """Return the tiny configuration of a type."""
    from transformers import AutoConfig

    if (file := CONFIGS / f"{kind}.json").is_file():
        settings = json.loads(file.read_text())
        settings.pop("model_type", None)
        return AutoConfig.for_model(kind, **settings)
    default = AutoConfig.for_model(kind).to_dict()
    return AutoConfig.for_model(kind, **merged(small(default), SETTINGS.get(kind, {})))


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return settings with changes, the inner ones too; what a change says is ABSENT is taken out."""
    out = dict(settings)
    for name, value in changes.items():
        if value is ABSENT:
            out.pop(name, None)
        else:
            out[name] = merged(out.get(name) or {}, value) if isinstance(value, dict) else value
    return out


def make_model(kind: str) -> Any:
    """Return a random tiny model of a type, its matrices scaled up so that its figures are far from degenerate.

    Raises:
        ValueError: it would not be tiny.
    """
    import torch
    from transformers import AutoModelForCausalLM

    config = make_config(kind)
    with torch.device("meta"):
        size = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    if size > LARGEST:
        raise ValueError(f"{size:,} parameters: not all sizes of its configuration go by the names known here")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(make_config(kind)).eval()
        with torch.no_grad():
            for p in model.parameters():
                if p.is_floating_point():
                    p.mul_(2.0) if p.dim() > 1 else p.add_(0.05 * torch.randn_like(p))
    return model
