"""What a configuration of transformers says of a model's attention: its width, and the windows that blocks slide."""

from __future__ import annotations

from typing import Any

_SLIDING = ("sliding_attention", "local")  # kinds of blocks, as configurations name them


def config_entry(config: Any, name: str) -> Any:
    """Return an entry of a configuration; None where it is missing, or differs from layer to layer."""
    try:
        return getattr(config, name, None)
    except Exception:  # transformers raises errors of its own for an entry that differs from layer to layer
        return None


def attention_size(text: Any) -> int:
    """Return the width of all heads of an attention together by the configuration; 0 without attention."""
    heads = config_entry(text, "num_attention_heads")
    if not heads:
        return 0
    width = config_entry(text, "head_dim")
    return int(heads * width) if width else int(text.hidden_size)


def attention_windows(text: Any, layers: int) -> tuple[int | None, ...]:
    """Return how many tokens each block sees, None of one that sees all; empty where no block slides a window.

    A configuration with a window that does not tell blocks apart slides it in all of them, as Mistral's.

    Args:
        text: the configuration of a text model.
        layers: its number of blocks.
    """
    window = config_entry(text, "sliding_window") if config_entry(text, "use_sliding_window") is not False else None
    window = window or config_entry(text, "window_size")  # GPT-Neo's
    kinds = config_entry(text, "layer_types") or config_entry(text, "attention_layers")
    if not isinstance(window, int):
        return ()
    if not kinds:
        return (window,) * layers if config_entry(text, "sliding_window") else ()
    windows = tuple(window if kind in _SLIDING else None for kind in kinds)
    return windows if any(windows) else ()
