"""The most memory that a checkpoint takes at once, estimated before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from degen.forward.batch_size import TOKEN_FLOATS, auto_batch_tokens
from degen.model.architecture import Architecture
from degen.model.lm_head import HEAD_BLOCK

from .settings import Settings

if TYPE_CHECKING:
    import torch

# Resident memory of a process with nothing loaded yet, as measured with Python 3.11, torch 2.13 and transformers 5.
PACKAGES = 440 * 10**6
MODELLING = 70 * 10**6  # what the first model and the tokenizer add: modules of transformers, threads, buffers of torch


def pass_memory(shape: Architecture, stored: int, settings: Settings, device: torch.device) -> int:
    """Return the bytes that a forward pass takes at most: of the process on a CPU, of the device elsewhere.

    Formula: the parameters in the dtype of the pass, and 24·4·d bytes a token of a batch. On a CPU also the files,
    which are mapped while they are read, and the packages.

    Args:
        shape: of the model.
        stored: bytes of its files.
        settings: of the scan.
        device: of the pass.
    """
    value = 2 if settings.dtype in ("float16", "bfloat16") else 4
    if settings.dtype == "auto" and device.type != "cpu":
        value = min(4, max(1, round(stored / max(shape.parameters, 1))))  # as stored
    longest = settings.longest_window
    windows = settings.batch_size
    tokens = windows * longest if windows else auto_batch_tokens(shape, longest, device)
    batch = min(tokens, max(settings.tokens, longest)) * TOKEN_FLOATS * 4 * shape.hidden_size
    weights = shape.parameters * value
    return weights + batch + (stored + PACKAGES + MODELLING if device.type == "cpu" else 0)


def head_memory(shape: Architecture, stored: int) -> int:
    """Return the bytes that the head's own probes take at most: the head in its file, and blocks of it in float64.

    Args:
        shape: of the model.
        stored: bytes of the head in its file.
    """
    block = min(HEAD_BLOCK, shape.vocab_size) * shape.head_size
    return PACKAGES + stored + 8 * 2 * block
