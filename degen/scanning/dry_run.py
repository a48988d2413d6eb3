"""Estimates of what each checkpoint of a scan costs: bytes to read, FLOPs, memory of the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from degen.checkpoints.series import Checkpoint
from degen.checkpoints.source import Source
from degen.errors import CheckpointError, one_line
from degen.forward.learned_positions import too_long
from degen.model.architecture import Architecture, describe, read_config
from degen.model.flops import forward_flops
from degen.model.lm_head import HEAD_BLOCK
from degen.probe import StreamProbe
from degen.tables import Row

from .context import fit_context
from .plan import make_plan
from .settings import Settings


def estimate_costs(settings: Settings, note: Callable[[str], None] = lambda _: None) -> list[Row]:
    """Return what each checkpoint of a scan would cost, from configurations and file headers alone.

    Formula: FLOPs = tokens · `forward_flops` at the length of the windows. Without a probe that needs text only the
    head is read.

    Args:
        settings: of the scan.
        note: called with a message where windows are shorter than by default.

    Returns:
        A row for each checkpoint: `bytes` to read from its files, `flops`, `memory` of the weights in bytes; nulls and
        a `reason` where it cannot be measured.

    Raises:
        DegenError: the series or the probes cannot be found.
    """
    plan = make_plan(settings)
    settings = fit_context(settings, plan, None, note)
    streams = any(issubclass(probe, StreamProbe) for probe in plan.probes.values())
    tokens = settings.tokens if streams else 0
    return [_estimate_cost(checkpoint, tokens, settings) for checkpoint in plan.checkpoints]


def total_cost(costs: Sequence[Row]) -> tuple[int, float]:
    """Return the bytes to read and the FLOPs of all checkpoints of `estimate_costs` that can be measured."""
    return sum(row["bytes"] or 0 for row in costs), sum(row["flops"] or 0 for row in costs)


def _estimate_cost(checkpoint: Checkpoint, tokens: int, settings: Settings) -> Row:
    row: Row = {"model": checkpoint.model, "revision": checkpoint.revision, "step": checkpoint.step}
    try:
        trust = settings.trust_remote_code
        shape = describe(read_config(checkpoint.source.config(), trust), trust)
        size = checkpoint.source.size() if tokens else _head_size(checkpoint.source, shape)
        if tokens and (reason := too_long(shape, settings.longest_window)) is not None:
            raise CheckpointError(reason)
    except CheckpointError as error:
        unknown = dict.fromkeys(("parameters", "bytes", "flops", "memory"))
        return row | unknown | {"reason": one_line(error)}
    bytes_per_value = 2 if settings.dtype in ("float16", "bfloat16") else 4
    return row | {
        "parameters": shape.parameters,
        "bytes": size,
        "flops": tokens * forward_flops(shape, settings.longest_window),
        "memory": shape.parameters * bytes_per_value if tokens else 8 * 2 * HEAD_BLOCK * shape.head_size,
        "reason": None,
    }


def _head_size(source: Source, shape: Architecture) -> int:
    tensors = source.tensors()
    return tensors.size(tensors.head_key(shape.tied, (shape.vocab_size, shape.head_size)))
