"""The part of a measurement that needs no text: the head's probes, and the columns that describe a model."""

from __future__ import annotations

from typing import Any

from degen.model.architecture import Architecture, find_head
from degen.model.flops import TRAINING, forward_flops
from degen.model.lm_head import Head, used_rows
from degen.probe import probe_errors
from degen.tables import Row, Rows
from degen.weights.open_weights import LoadedTensors

from .measure_spec import MeasureSpec
from .timing import Clock


def head_of(model: Any, ids: frozenset[int] | None) -> Head:
    """Return the head of a model in memory, as head probes see it; `ids` are the tokenizer's."""
    weight = find_head(model).weight.detach().cpu()
    return Head(LoadedTensors({"lm_head.weight": weight}), "lm_head.weight", used_rows(ids, weight.shape[0]))


def measure_head(head: Head, spec: MeasureSpec, clock: Clock) -> list[tuple[str, Rows]]:
    """Return the rows of every head probe, beside its name.

    Raises:
        CheckpointError: a probe failed.
    """
    measured = []
    for name, head_probe in spec.head_probes.items():
        with clock.phase(name), probe_errors(name):
            measured.append((name, head_probe().measure(head)))
    return measured


def model_columns(shape: Architecture, head: Head, tokens_seen: int | None = None) -> Row:
    """Return the columns of `checkpoints` that describe a model, apart from any measure."""
    flops = TRAINING * forward_flops(shape)
    return {
        "tokens_seen": tokens_seen,
        "architecture": shape.name,
        "parameters": shape.parameters,
        "parameters_non_embedding": shape.parameters_non_embedding,
        "layers": shape.layers,
        "hidden_size": shape.hidden_size,
        "head_size": shape.head_size,
        "vocab_size": shape.vocab_size,
        "vocab_used": head.rows_used,
        "tied": shape.tied,
        "flops_per_token": flops,
        "training_flops": flops * tokens_seen if tokens_seen is not None else None,
        "head_sha256": head.sha256,
    }
