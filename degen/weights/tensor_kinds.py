"""Stored tensors that a model does not take, by their names: harmless buffers, and what the others are."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Buffers that older code stored and newer code computes: rotary frequencies, causal masks and position ids.
_HARMLESS = re.compile(
    r"(^|\.)(inv_freq|masked_bias|position_ids|token_type_ids|cos_cached|sin_cached|num_batches_tracked)$"
    r"|(^|\.)(attn|attention|self_attention|self_attn)\.bias$"
)
_QUANTISED = re.compile(
    r"(weight_scale|weight_scale_inv|weight_scale_2|input_scale|activation_scale|scb|absmax|quant_map|qweight|qzeros"
    r"|g_idx|zero_point|weight_packed|weight_shape|weight_format|weight_nf4|weight_fp4|_blocks|_scales|\.scales)$"
    r"|quant_state",
    re.IGNORECASE,
)
_ADAPTER = re.compile(r"(^|\.)(lora_|hada_|lokr_|oft_|vera_|ia3_|boft_|base_layer\.)", re.IGNORECASE)
_NORM = re.compile(r"(norm|ln_|_ln|layernorm)[^.]*\.(weight|bias|scale)$", re.IGNORECASE)
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out|output)\.bias$")
_BLOCK = re.compile(r"(^|\.)(layers?|h|blocks?)\.\d+\.")

WRAPPERS = re.compile(r"^((_orig_mod|module|_forward_module|_fsdp_wrapped_module)\.)+")  # torch.compile, DDP, FSDP


def is_harmless(key: str) -> bool:
    """Return whether a stored tensor is a buffer that the model computes by itself."""
    return _HARMLESS.search(key) is not None


def is_quantised_part(key: str) -> bool:
    """Return whether a tensor's name is that of a scale or of packed values of quantised weights."""
    return _QUANTISED.search(key) is not None


def is_adapter_part(key: str) -> bool:
    """Return whether a tensor's name is that of an adapter's weights beside those that they adapt."""
    return _ADAPTER.search(key) is not None


def is_head_bias(key: str) -> bool:
    """Return whether a tensor's name is that of a bias of the LM head."""
    return _HEAD.search(key) is not None


def explain(key: str) -> str:
    """Return what a tensor that a model does not take is, by its name, and what to do about it."""
    if is_adapter_part(key):
        return (
            "weights of an adapter that was not merged; merge it into its base (merge_and_unload of PEFT), or save it "
            "by itself and name the checkpoint as BASE+ADAPTER"
        )
    if is_quantised_part(key):
        return (
            "scales or packed values of quantised weights, without which the weights mean something else; give "
            "config.json its quantization_config back, or dequantise the weights before they are saved"
        )
    if is_head_bias(key):
        return (
            "a bias of the LM head, which the class of config.json has not; name the class in config.json that the "
            "weights were trained with"
        )
    if _NORM.search(key):
        return (
            "weights of a norm, which the class of config.json has not; name the model type in config.json that the "
            "weights were trained with"
        )
    if _BLOCK.search(key):
        return (
            "weights in a block, which the model of config.json has not; correct the model type or the number of "
            "layers in config.json"
        )
    return (
        "weights that the class of config.json does not take; correct config.json, or take them out of the files if "
        "the model does without them"
    )


def name_some(keys: Iterable[str], most: int = 2) -> str:
    """Return the first names of some tensors in one phrase, with the number of the others."""
    names = sorted(keys)
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
