"""What a token costs a model: parameters and FLOPs, from a configuration or from the shape of a T5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from degen.errors import DegenError

from .architecture import Architecture, describe

TRAINING = 3  # a backward pass takes two forward passes: gradients of activations, and of weights


@dataclass(frozen=True)
class Costs:
    """Sizes of a model, and what a token of its training costs.

    Attributes:
        parameters: all, tied ones once.
        parameters_non_embedding: without input embeddings, untied head, and learned or relative positions.
        parameters_active: all but the experts of a mixture that a token is not sent to.
        forward: FLOPs of a token in a forward pass.
        training: FLOPs of a token in training, forward and backward.
    """

    parameters: int
    parameters_non_embedding: int
    parameters_active: int
    forward: float
    training: float


def costs_of(config: Any, context: int = 0, trust: bool = False) -> Costs:
    """Return costs of any causal LM that transformers can build; nothing of it is allocated.

    Formula: as `forward_flops`; training takes three times the forward pass.

    Args:
        config: a transformers configuration.
        context: tokens of a window; 0 leaves the attention's scores out, as 6ND does.
        trust: whether Python code that the configuration's folder brings may run.

    Raises:
        CheckpointError: not a causal LM that transformers can build, or one without a linear head.
    """
    shape = describe(config, trust)
    forward = forward_flops(shape, context)
    active = shape.parameters - shape.parameters_idle
    return Costs(shape.parameters, shape.parameters_non_embedding, active, forward, TRAINING * forward)


def forward_flops(shape: Architecture, context: int = 0) -> float:
    """Return FLOPs of a token in a forward pass.

    Formula: 2·(N + V·d_head) + 2·L·d·T, with N the non-embedding parameters that a token meets (of a mixture's experts
    only those it is sent to), V·d_head the head's, and the last term causal attention's scores and sums over T tokens,
    both half masked, d the width of all heads. Looking up an embedding costs nothing.

    Args:
        shape: of the model.
        context: T; 0 leaves attention's scores out.

    Source: Kaplan et al. 2020, arXiv 2001.08361, table 1.
    """
    met = shape.parameters_non_embedding - shape.parameters_idle + shape.vocab_size * shape.head_size
    return float(2 * met + 2 * shape.layers * shape.attention_size * context)


@dataclass(frozen=True)
class T5Shape:
    """The shape of a T5: an encoder and a decoder of the same width.

    Attributes:
        layers: blocks of the encoder.
        d_model: width of the residual stream.
        d_ff: inner width of the feed-forward layer.
        d_kv: width of a head; heads · d_kv need not be d_model.
        heads: heads of an attention.
        decoder_layers: blocks of the decoder; None for as many as the encoder has.
        vocab_size: rows of the embedding.
        gated: whether the feed-forward layer is gated, as in T5 1.1.
        tied: whether the head is the embedding, as in T5 and not in T5 1.1.
        buckets: of relative positions, learned once in each stack.
    """

    layers: int
    d_model: int
    d_ff: int
    d_kv: int
    heads: int
    decoder_layers: int | None = None
    vocab_size: int = 32128
    gated: bool = False
    tied: bool = True
    buckets: int = 32

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name not in ("gated", "tied") and value is not None and value < 1:
                raise DegenError(f"a T5 with {name} = {value}: give at least 1")

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.heads * self.d_kv

    @property
    def blocks(self) -> tuple[int, int]:
        """Weights of all blocks of the encoder, and of the decoder, their norms included.

        Formula: an attention 4·d·h·k, a feed-forward layer 2·d·f (3·d·f gated), a norm d before each; a block of the
        encoder has one attention, one of the decoder two. A norm ends each stack.
        """
        attention, d = 4 * self.d_model * self.inner, self.d_model
        feed = (3 if self.gated else 2) * d * self.d_ff
        decoder = self.decoder_layers if self.decoder_layers is not None else self.layers
        return self.layers * (attention + feed + 2 * d) + d, decoder * (2 * attention + feed + 3 * d) + d

    @property
    def parameters_non_embedding(self) -> int:
        """Without embedding, head and relative positions."""
        return sum(self.blocks)

    @property
    def parameters(self) -> int:
        """All: blocks, embedding, untied head, and the relative positions of both stacks."""
        embeddings = (1 if self.tied else 2) * self.vocab_size * self.d_model
        return self.parameters_non_embedding + embeddings + 2 * self.buckets * self.heads


def t5_costs(shape: T5Shape, inputs: int = 1, targets: int = 1, attention: bool = False) -> Costs:
    """Return costs of a T5 for a token, of inputs and targets alike, where texts have so many of each.

    Formula: an input token passes through the encoder, 2·N_enc, and through the keys and values of every cross
    attention, 2·L_dec·2·d·h·k; a target token through the rest of the decoder and the head. Attention's scores and sums
    add 4·h·k·(tokens seen) a layer, half of it where they are masked.

    Args:
        shape: of the model.
        inputs: tokens of a text that the encoder reads.
        targets: tokens that the decoder writes.
        attention: whether scores and sums count, which depend on the lengths and not on their ratio alone.

    Source: Raffel et al. 2020, arXiv 1910.10683, for the shape; Kaplan et al. 2020, arXiv 2001.08361, for the count.
    """
    if inputs < 0 or targets < 0 or inputs + targets == 0:
        raise DegenError(f"{inputs} input and {targets} target tokens: give at least one token")
    encoder, decoder = shape.blocks
    layers = shape.decoder_layers if shape.decoder_layers is not None else shape.layers
    crossed = layers * 2 * shape.d_model * shape.inner
    head = shape.vocab_size * shape.d_model
    flops = 2.0 * (inputs * (encoder + crossed) + targets * (decoder - crossed + head))
    if attention:
        seen = shape.layers * inputs**2 + layers * (targets**2 / 2 + inputs * targets)
        flops += 4 * shape.inner * seen
    forward = flops / (inputs + targets)
    return Costs(shape.parameters, shape.parameters_non_embedding, shape.parameters, forward, TRAINING * forward)
