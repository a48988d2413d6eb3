"""FLOPs of a token that passes through a model."""

from __future__ import annotations

from .architecture import Architecture

TRAINING = 3  # a backward pass takes two forward passes: gradients of activations, and of weights


def forward_flops(shape: Architecture, context: int = 0) -> float:
    """Return the FLOPs of a token in a forward pass; `TRAINING` times as many are those of a token in training.

    Formula: 2·(N + V·d_head) + 2·L·d·T, with N the non-embedding parameters that a token meets (of a mixture's experts
    only those it is sent to), V·d_head those of the head, L blocks, d the width of all attention heads together. The
    last term is causal attention over T tokens: scores and weighted sums, of each the half that is not masked. Looking
    up an embedding costs nothing.

    Args:
        shape: of the model.
        context: T, tokens of a window; 0 leaves attention's scores out, as 6ND does.

    Source: Kaplan et al. 2020, arXiv 2001.08361, table 1.
    """
    met = shape.parameters_non_embedding - shape.parameters_idle + shape.vocab_size * shape.head_size
    return float(2 * met + 2 * shape.layers * shape.attention_size * context)
