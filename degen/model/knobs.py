"""The knobs of a model's shape, as papers on scaling vary them: depth, widths, heads, experts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .architecture import count_layers, text_config
from .config_entries import attention_size, config_entry

_FEED_FORWARD = ("intermediate_size", "d_ff", "ffn_dim", "ffn_hidden_size", "n_inner")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_FOUR_TIMES = ("bloom", "gpt2", "gptj")  # their feed-forward layer is four times as wide, unless n_inner says otherwise


@dataclass(frozen=True)
class Knobs:
    """What the shape of a model is made of; None where its configuration does not say it with one number.

    Attributes:
        layers: blocks; of an encoder with a decoder those of each, None where they differ.
        d_model: width of the residual stream.
        d_ff: width of the feed-forward layer, of one expert where there are several.
        heads: heads of an attention; None without attention.
        d_kv: width of a head; None without attention.
        experts: experts that a token may be sent to, in a layer that has some; 1 without a choice.
        encoder_layers: blocks of the encoder; None without one.
        decoder_layers: blocks of the decoder beside an encoder; None without one.
    """

    layers: int | None
    d_model: int | None
    d_ff: int | None
    heads: int | None
    d_kv: int | None
    experts: int | None = 1
    encoder_layers: int | None = None
    decoder_layers: int | None = None


def read_knobs(config: Any) -> Knobs:
    """Return the knobs of a decoder by the configuration that transformers has of it."""
    text = text_config(config)
    experts = next((n for name in _EXPERTS if (n := _whole(text, name))), 1)
    own = ("moe_intermediate_size",) if experts > 1 else ()
    d_ff = next((n for name in (*own, *_FEED_FORWARD) if (n := _whole(text, name))), None)
    d_model = _whole(text, "hidden_size")
    if d_ff is None and d_model is not None and text.model_type in _FOUR_TIMES:
        d_ff = 4 * d_model
    heads = _whole(text, "num_attention_heads")
    d_kv = attention_size(text) // heads if heads else None
    return Knobs(count_layers(config) or None, d_model, d_ff, heads, d_kv, experts)


def _whole(text: Any, name: str) -> int | None:
    """Return an entry of a configuration that is a whole number above 0; None for any other."""
    value = config_entry(text, name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
