"""The architecture of a model: its configuration, parameters, blocks, head, and what it does to logits."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from degen.errors import CheckpointError, one_line

from .config_entries import attention_size, attention_windows, config_entry
from .configuration import config_sha256
from .final_norm import FinalNorm, find_final_norm

if TYPE_CHECKING:
    from torch import nn

# While transformers builds a model it sets torch's default dtype for all threads. So models are built one at a time,
# and in float32 where another thread may be measuring.
BUILD_LOCK = threading.RLock()

# How many experts of a mixture a token passes through, by the configuration's attribute.
_ROUTED = ("num_experts_per_tok", "top_k_experts", "moe_topk", "moe_k")

_POSITION_NAMES = ("wpe", "embed_positions", "position_embeddings", "pos_emb")


@dataclass(frozen=True)
class Architecture:
    """The shape of a model, counted on a module without memory.

    Attributes:
        name: model class, as `GPTNeoXForCausalLM`.
        model_type: the family, as `gpt_neox`.
        parameters: all parameters, tied ones once.
        parameters_non_embedding: without input embeddings, untied head and learned positions.
        parameters_idle: parameters of a mixture's experts that a token is not sent to; 0 where all are used.
        layers: transformer blocks.
        hidden_size: width of the residual stream.
        attention_size: width of all heads of an attention together; 0 without attention.
        head_size: width of the states that the LM head receives.
        vocab_size: rows of the head.
        tied: whether the head is the input embedding.
        positions: the longest context of learned positions; None where positions are not learned.
        head_bias: whether the head has a bias.
        not_causal: why it cannot be run as a causal LM; None where it can.
        attention_windows: of each block that slides a window over the context, how many tokens it sees, itself
            included; None of one that sees all. Empty where none slides.
        final_norm: the norm in front of the head; None where it is not found.
    """

    name: str
    model_type: str
    parameters: int
    parameters_non_embedding: int
    parameters_idle: int
    layers: int
    hidden_size: int
    attention_size: int
    head_size: int
    vocab_size: int
    tied: bool
    positions: int | None
    head_bias: bool = False
    not_causal: str | None = None
    attention_windows: tuple[int | None, ...] = ()
    final_norm: FinalNorm | None = None


def describe(config: Any, trust: bool = False) -> Architecture:
    """Return the architecture of a model from its configuration; no memory is allocated for its weights.

    Args:
        config: as `read_config` returns it.
        trust: whether Python code from its folder may run.

    Raises:
        CheckpointError: no model that transformers can build, or one without a linear head.
    """
    key = config.to_json_string(use_diff=False) if trust else config_sha256(config)  # code differs by folder
    if (key, trust) not in _described:
        _described[key, trust] = describe_module(_build_without_weights(config, trust))
    return _described[key, trust]


_described: dict[tuple[str, bool], Architecture] = {}


def auto_class(config: Any) -> Any:
    """Return the class of transformers that builds a model of a configuration, with its LM head.

    A causal LM where there is one; else a model of text and images, which is one on text alone; else any with a head.

    Raises:
        CheckpointError: transformers has none.
    """
    import transformers

    classes = [getattr(transformers, f"AutoModelFor{task}") for task in ("CausalLM", *_OTHER_TASKS)]
    code = getattr(config, "auto_map", None) or {}
    for found in classes:
        if type(config) in found._model_mapping or found.__name__ in code:
            return found
    for model in classes[0]._model_mapping.values():  # the text part of a model, saved by itself
        if getattr(model, "config_class", None) is type(config):
            return model
    raise CheckpointError(
        f"model type {config.model_type!r} is no language model that transformers can build; it needs an LM head"
    )


# What a model with an LM head may be where it is no causal LM; the first of them is one as long as it gets text alone.
_OTHER_TASKS = ("ImageTextToText", "Seq2SeqLM", "MaskedLM")


def _why_not_causal(config: Any) -> str | None:
    """Return why a model cannot be run as a causal LM, by the class that builds it; None where it can."""
    found = auto_class(config).__name__
    if not found.startswith("AutoModel") or found.endswith(("CausalLM", _OTHER_TASKS[0])):
        return None
    kind = "an encoder with a decoder" if found.endswith("Seq2SeqLM") else "a masked LM"
    return f"model type {config.model_type!r} is {kind} and no causal LM; only its head is measured"


def _build_without_weights(config: Any, trust: bool) -> Any:
    import torch

    builder = auto_class(config)
    try:
        with BUILD_LOCK, torch.device("meta"):
            if not hasattr(builder, "from_config"):
                return builder._from_config(config, dtype=torch.float32)
            return builder.from_config(config, dtype=torch.float32, trust_remote_code=trust)
    except Exception as error:  # any nonsense in a configuration ends up here
        raise CheckpointError(
            f"model type {config.model_type!r} cannot be built from its configuration ({one_line(error)}); is its "
            "config.json sound?"
        ) from error


def scale_block(config: Any) -> tuple[int, int]:
    """Return the rows and columns that share a scale in quantised weights with a scale a block, 128 × 128 by custom."""
    settings = getattr(config, "quantization_config", None) or {}
    block = (settings if isinstance(settings, dict) else settings.to_dict()).get("weight_block_size")
    return (int(block[0]), int(block[1])) if block else (128, 128)


def describe_module(model: Any) -> Architecture:
    """Return the architecture of a causal LM, with or without weights in memory.

    Raises:
        CheckpointError: it has no linear head that transformers names.
    """
    head = find_head(model)
    embedding = model.get_input_embeddings()
    tied = head.weight is embedding.weight
    positions = _learned_positions(model, embedding)
    outside = {id(p): p.numel() for p in (embedding.weight, head.weight, *(m.weight for m in positions))}
    text = text_config(model.config)
    total = sum(p.numel() for p in model.parameters())
    return Architecture(
        name=type(model).__name__,
        model_type=model.config.model_type,
        parameters=total,
        parameters_non_embedding=total - sum(outside.values()),
        parameters_idle=_idle_parameters(model, text),
        layers=count_layers(model.config),
        hidden_size=text.hidden_size,
        attention_size=attention_size(text),
        head_size=head.weight.shape[1],
        vocab_size=head.weight.shape[0],
        tied=tied,
        head_bias=getattr(head, "bias", None) is not None,
        not_causal=_why_not_causal(model.config),
        attention_windows=attention_windows(text, count_layers(model.config)),
        positions=_count_positions(text, positions[0]) if positions else None,
        final_norm=find_final_norm(model, head.weight.shape[1]),
    )


def text_config(config: Any) -> Any:
    """Return the part of a configuration that describes the text model."""
    return config.get_text_config(decoder=True)


def _idle_parameters(model: nn.Module, text: Any) -> int:
    """Return how many parameters belong to experts that a token is not sent to: (E − k)/E of all, for k of E experts.

    transformers stacks the matrices of a layer's experts along the first dimension, in modules with `Experts` in their
    class's name.
    """
    used = next(filter(None, (config_entry(text, name) for name in _ROUTED)), None)
    if not isinstance(used, int):
        return 0
    idle = 0
    for module in model.modules():
        own = list(module.parameters(recurse=False)) if "Experts" in type(module).__name__ else []
        experts = next((len(p) for p in own if p.dim() == 3), 0)
        stacked = [p for p in own if p.dim() > 1 and len(p) == experts]
        idle += sum(p.numel() // experts * max(experts - used, 0) for p in stacked)
    return idle


def _learned_positions(model: nn.Module, embedding: nn.Module) -> list[Any]:
    from torch import nn

    return [
        m for name, m in model.named_modules()
        if isinstance(m, nn.Embedding) and m is not embedding and name.rpartition(".")[2] in _POSITION_NAMES
    ]  # fmt: skip


def _count_positions(text: Any, positions: Any) -> int:
    """Return the longest context of learned positions; a table may have more rows than that."""
    names = ("max_position_embeddings", "max_target_positions")
    return next(filter(None, (config_entry(text, name) for name in names)), None) or len(positions.weight)


def find_head(model: Any) -> Any:
    """Return the LM head, the linear module that turns states into logits: V × d, perhaps with a bias.

    Raises:
        CheckpointError: the model has no such module.
    """
    head = model.get_output_embeddings()
    weight = getattr(head, "weight", None)
    divided = weight is not None and weight.dim() == 1 and isinstance(getattr(head, "out_features", None), int)
    if weight is None or (weight.dim() != 2 and not divided):  # FSDP keeps the parts of a matrix flat
        raise CheckpointError(
            f"model type {model.config.model_type!r} has no linear LM head of its own that transformers names "
            "(get_output_embeddings), and nothing here is measured without one"
        )
    return head


def count_layers(config: Any) -> int:
    """Return the number of blocks by the configuration; 0 where it names none."""
    return int(config_entry(text_config(config), "num_hidden_layers") or 0)
