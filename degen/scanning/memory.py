"""The most memory that a checkpoint takes at once, estimated before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from degen.forward.batch_size import DEVICE_MAX_TOKENS, TOKEN_FLOATS, auto_batch_tokens
from degen.forward.cross_entropy import DEVICE_LOGITS
from degen.model.architecture import Architecture
from degen.model.lm_head import HEAD_BLOCK

from .settings import Settings
from .timing import peak_rss

if TYPE_CHECKING:
    import torch

    from .measure_spec import MeasureSpec
    from .open_checkpoint import OpenCheckpoint

TILE_BYTES = 10  # a logit of a tile on an accelerator: in 16 bits, in float32, and its logarithm

# What a process holds once torch and transformers are imported is measured; this comes on top, as measured on Linux.
FOR_HEADS = 50 * 10**6  # readers and writers of files, buffers of linear algebra
FOR_PASSES = 115 * 10**6  # the same, a tokenizer, the windows, threads


def pass_memory(shape: Architecture, stored: int, settings: Settings, device: torch.device, copies: int = 0) -> int:
    """Return the bytes that a forward pass takes at most: of the process on a CPU, of the device elsewhere.

    Formula: the parameters in the dtype of the pass, 24·4·d bytes a token of a batch, and on an accelerator a tile of
    logits. On a CPU also the imported packages, and the files where the dtype is another one: they are mapped while
    they are read, and otherwise are the parameters.

    Args:
        shape: of the model.
        stored: bytes of its files.
        settings: of the scan.
        device: of the pass.
        copies: of all parameters that a probe holds beside them.
    """
    longest = settings.longest_window
    windows = settings.batch_size
    weights = loaded_bytes(shape, stored, settings, device)
    tokens = windows * longest if windows else auto_batch_tokens(shape, longest, device, weights)
    batch = min(tokens, max(settings.tokens, longest)) * TOKEN_FLOATS * 4 * shape.hidden_size
    batch += copies * weights
    if device.type != "cpu":
        return weights + batch + TILE_BYTES * DEVICE_LOGITS
    converted = stored if abs(stored - weights) > 0.1 * weights else 0
    return weights + batch + converted + peak_rss() + FOR_PASSES


def loaded_bytes(shape: Architecture, stored: int, settings: Settings, device: torch.device) -> int:
    """Return the bytes of all parameters in the dtype of the pass."""
    return shape.parameters * value_bytes(shape, stored, settings, device.type == "cpu")


def bytes_to_load(opened: OpenCheckpoint, spec: MeasureSpec, settings: Settings) -> int:
    """Return the bytes that a device is to take for the weights of a checkpoint; 0 for a model that is spread."""
    if spec.device_map is not None:
        return 0
    return loaded_bytes(opened.architecture, opened.tensors.size(None), settings, spec.device)


def value_bytes(shape: Architecture, stored: int, settings: Settings, on_cpu: bool) -> int:
    """Return the bytes of a parameter in the dtype of the pass; the checkpoint's own on an accelerator."""
    if settings.dtype == "auto" and not on_cpu:
        return min(4, max(1, round(stored / max(shape.parameters, 1))))
    return 2 if settings.dtype in ("float16", "bfloat16") else 4


def planned_memory(shape: Architecture, stored: int, settings: Settings, memory: float, copies: int) -> tuple[int, int]:
    """Return the bytes that a pass takes at most on an accelerator that need not be here, and the tokens of a batch.

    Args:
        shape: of the model.
        stored: bytes of its files.
        settings: of the scan.
        memory: bytes of the accelerator.
        copies: of all parameters that a probe holds beside them.
    """
    weights = shape.parameters * value_bytes(shape, stored, settings, on_cpu=False) * (1 + copies)
    longest, token = settings.longest_window, TOKEN_FLOATS * 4 * shape.hidden_size
    fitting = int(min(max(memory - weights, 0) // 2 // token, DEVICE_MAX_TOKENS))
    tokens = (settings.batch_size or max(fitting // longest, 1)) * longest
    tokens = min(tokens, max(settings.tokens, longest))
    return weights + tokens * token + TILE_BYTES * DEVICE_LOGITS, tokens


def head_memory(shape: Architecture, stored: int) -> int:
    """Return the bytes that the head's own probes take at most: the head in its file, and blocks of it in float64.

    Args:
        shape: of the model.
        stored: bytes of the head in its file.
    """
    block = min(HEAD_BLOCK, shape.vocab_size) * shape.head_size
    return peak_rss() + FOR_HEADS + stored + 8 * 2 * block
