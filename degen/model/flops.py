"""FLOPs of a token that passes through a model."""

from __future__ import annotations

from .architecture import Architecture

TRAINING = 3  # a backward pass takes two forward passes: gradients of activations, and of weights


def forward_flops(shape: Architecture, context: int = 0) -> float:
    """Return the FLOPs of a token in a forward pass; `TRAINING` times as many are those of a token in training.

    Formula: 2·(N + V·d_head) + 4·a·Σ_l k_l, with N the non-embedding parameters that a token meets (of a mixture's
    experts only those it is sent to), V·d_head those of the head, a the width of all attention heads together, and k_l
    the tokens that a token sees in block l, on average over a window of T tokens: itself and those before it, k = m −
    m(m − 1)/(2T), m the least of T and the tokens of the block's sliding window; (T + 1)/2 without one. The last term
    is attention's scores and weighted sums. Looking up an embedding costs nothing.

    Args:
        shape: of the model.
        context: T, tokens of a window; 0 leaves attention's scores out, as 6ND does.

    Source: Kaplan et al. 2020, arXiv 2001.08361, table 1.
    """
    met = shape.parameters_non_embedding - shape.parameters_idle + shape.vocab_size * shape.head_size
    windows = shape.attention_windows or (None,) * shape.layers
    seen = sum(_tokens_seen(context, window) for window in windows) if context else 0.0
    return float(2 * met + 4 * shape.attention_size * seen)


def _tokens_seen(context: int, window: int | None) -> float:
    """Return how many of `context` tokens a token sees on average, in a block that slides a window of some tokens."""
    most = context if window is None else min(context, window)
    return most - most * (most - 1) / (2 * context)
