"""The columns of table `checkpoints` that the engine fills from a model itself, apart from any probe."""

from __future__ import annotations

from degen.model.architecture import Architecture
from degen.model.flops import TRAINING, forward_flops
from degen.model.lm_head import Head
from degen.tables import Row


def model_columns(shape: Architecture, head: Head, tokens_seen: int | None = None) -> Row:
    """Return the columns of `checkpoints` that describe a model, apart from any measure; of no stage or seed."""
    flops = TRAINING * forward_flops(shape)
    return {
        "stage": None,
        "seed": None,
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
