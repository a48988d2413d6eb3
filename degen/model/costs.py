"""What a model costs, by its configuration: parameters, those that a token meets, and FLOPs of a token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from degen.errors import CheckpointError

from .architecture import describe
from .flops import TRAINING, forward_flops
from .knobs import Knobs, read_knobs
from .t5_shape import T5_TYPES, T5Shape, t5_shape

T5_NAME = "T5ForConditionalGeneration"


@dataclass(frozen=True)
class TokenContext:
    """The tokens that are around a token, for the FLOPs of attention's scores.

    Attributes:
        tokens: of a window; of the encoder's side where there is an encoder. None leaves the scores out.
        target: of the decoder's side beside an encoder; None for as many as on the encoder's.
    """

    tokens: int | None = None
    target: int | None = None


NO_CONTEXT = TokenContext()


@dataclass(frozen=True)
class ModelCosts:
    """What a model costs.

    Attributes:
        architecture: its model class.
        knobs: its shape.
        vocab_size: rows of the LM head.
        parameters: all of them, tied ones once.
        parameters_non_embedding: without input embeddings, untied head and learned positions.
        parameters_active: without those of experts that a token is not sent to; all where there is no choice.
        forward_flops: of a token, see `degen.model.flops.forward_flops`; with an encoder averaged over the tokens of
            both sides, see `T5Shape.forward_flops`.
    """

    architecture: str
    knobs: Knobs
    vocab_size: int
    parameters: int
    parameters_non_embedding: int
    parameters_active: int
    forward_flops: float

    @property
    def training_flops(self) -> float:
        """FLOPs of a token in training, forward and backward."""
        return TRAINING * self.forward_flops


def config_costs(config: Any, context: TokenContext, trust: bool = False) -> ModelCosts:
    """Return what a model costs, counted on a module without memory.

    Args:
        config: of transformers: of a causal LM, or of a T5.
        context: tokens around a token.
        trust: whether Python code from its folder may run.

    Raises:
        CheckpointError: another kind of model, or one that transformers cannot build.
    """
    if config.model_type in T5_TYPES:
        described = describe(config, trust)
        shape = t5_shape(config)
        more = described.parameters_non_embedding - shape.parameters_non_embedding  # umt5 has a table in every block
        return t5_costs(shape, context, described.name, more)
    _check_decoder(config)
    architecture = describe(config, trust)
    if architecture.not_causal is not None:
        raise CheckpointError(f"{_kind(config)}; the costs are of causal LMs and of T5")
    return ModelCosts(
        architecture.name, read_knobs(config), architecture.vocab_size, architecture.parameters,
        architecture.parameters_non_embedding, architecture.parameters - architecture.parameters_idle,
        forward_flops(architecture, context.tokens or 0),
    )  # fmt: skip


def t5_costs(shape: T5Shape, context: TokenContext, name: str = T5_NAME, more: int = 0) -> ModelCosts:
    """Return what a T5 costs by its shape alone.

    Args:
        shape: of the model.
        context: tokens around a token.
        name: its model class.
        more: parameters that it has beyond those of its shape, which no product of matrices uses.
    """
    both = (shape.encoder_layers, shape.decoder_layers)
    knobs = Knobs(
        shape.encoder_layers if both[0] == both[1] else None,
        shape.d_model, shape.d_ff, shape.heads, shape.d_kv, 1, *both,
    )  # fmt: skip
    total = shape.parameters + more
    flops = shape.forward_flops(context.tokens or 0, context.target)
    return ModelCosts(name, knobs, shape.vocab_size, total, shape.parameters_non_embedding + more, total, flops)


def _check_decoder(config: Any) -> None:
    """Refuse an encoder, alone or with a decoder that is not T5's.

    Raises:
        CheckpointError: it is one.
    """
    from transformers import AutoModelForMaskedLM

    masked = type(config) in AutoModelForMaskedLM._model_mapping and not getattr(config, "is_decoder", False)
    if masked or getattr(config, "is_encoder_decoder", False):
        raise CheckpointError(f"{_kind(config)}; the costs are of causal LMs and of T5")


def _kind(config: Any) -> str:
    """Return what a model is that is no causal LM."""
    kind = "an encoder with a decoder" if getattr(config, "is_encoder_decoder", False) else "an encoder"
    return f"model type {config.model_type!r} is {kind}"
