"""What a checkpoint costs before it is measured: how much fits in a batch, bytes to read, FLOPs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from degen.checkpoints.series import Checkpoint
from degen.checkpoints.source import Source
from degen.errors import CheckpointError, one_line
from degen.model.architecture import Architecture, describe, read_config
from degen.model.flops import forward_flops
from degen.model.lm_head import HEAD_BLOCK
from degen.probe import StreamProbe
from degen.tables import Row
from degen.text.windows import Sample

from .plan import make_plan
from .settings import Settings

if TYPE_CHECKING:
    import torch

CPU_BUDGET = 256 * 2**20  # bytes of activations; larger batches are no faster there
CPU_MOST = 8192  # tokens


def auto_batch_tokens(architecture: Architecture, longest: int, device: torch.device) -> int:
    """Padded tokens of a batch: as many windows as the activations of a block leave room for, at least one.

    A token needs about 20·d floats at once in a block (its input, queries, keys, values, the gate and the 4·d of the
    feed-forward layer twice) and d float64 in a probe. On an accelerator half of the free memory is taken.
    """
    import torch

    per_token = 24 * 4 * architecture.hidden_size
    if device.type == "cpu":
        fits = min(CPU_BUDGET // per_token, CPU_MOST)
    else:
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 4 * 2**30
        fits = free // 2 // per_token
    return max(fits // longest, 1) * longest


def batch_tokens_for(
    sample: Sample | None, windows: int | None, context: int, architecture: Architecture, device: torch.device
) -> int:
    """Padded tokens of a batch: as many full windows as were asked for or fit, and no more than there are.

    Args:
        sample: the windows; None where there are none.
        windows: full windows in a batch; None for automatic.
        context: the longest window where there are none.
        architecture: of the model.
        device: where it is.
    """
    longest = sample.longest if sample is not None else context
    most = longest * len(sample.windows) if sample is not None else longest
    return min(windows * longest if windows else auto_batch_tokens(architecture, longest, device), most)


def price(settings: Settings) -> list[Row]:
    """What each checkpoint of a scan would cost, and nothing loaded for it but configurations.

    Formula: FLOPs = tokens · `forward_flops` at the length of the windows. Without a probe that wants text only the
    head is read.

    Returns:
        A row for each checkpoint: `bytes` to read from its files, `flops`, `memory` of the weights in bytes; nulls and
        a `reason` where it cannot be measured.

    Raises:
        DegenError: the series or the probes cannot be found.
    """
    plan = make_plan(settings)
    streams = any(issubclass(probe, StreamProbe) for probe in plan.probes.values())
    tokens = settings.tokens if streams else 0
    return [_price(checkpoint, tokens, settings) for checkpoint in plan.checkpoints]


def _price(checkpoint: Checkpoint, tokens: int, settings: Settings) -> Row:
    row: Row = {"model": checkpoint.model, "revision": checkpoint.revision, "step": checkpoint.step}
    try:
        trust = settings.trust_remote_code
        shape = describe(read_config(checkpoint.source.config(), trust), trust)
        size = checkpoint.source.size() if tokens else _head_size(checkpoint.source, shape)
        if tokens and shape.positions is not None and settings.context > shape.positions:
            raise CheckpointError(f"it has {shape.positions} learned positions; use --context {shape.positions}")
    except CheckpointError as error:
        return row | {
            "parameters": None,
            "bytes": None,
            "flops": None,
            "memory": None,
            "reason": one_line(error),
        }
    wide = 2 if settings.dtype in ("float16", "bfloat16") else 4
    return row | {
        "parameters": shape.parameters,
        "bytes": size,
        "flops": tokens * forward_flops(shape, settings.context),
        "memory": shape.parameters * wide if tokens else 8 * 2 * HEAD_BLOCK * shape.head_size,
        "reason": None,
    }


def _head_size(source: Source, shape: Architecture) -> int:
    tensors = source.tensors()
    return tensors.size(tensors.head_key(shape.tied, (shape.vocab_size, shape.head_size)))
