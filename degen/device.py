"""Differences between devices: how each reports that memory is out, which floats it has, and which it computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class OutOfMemoryError(Exception):
    """A batch did not fit; a smaller one may."""


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise OutOfMemoryError for an allocation that failed in the block."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError(str(error)) from error
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that an allocation failed; on a CPU, torch raises a plain RuntimeError for it."""
    import torch

    phrases = ("can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in phrases)
    )


def as_float64(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy in float64: on the tensor's own device, or on the CPU where the device (Apple's) has no float64."""
    import torch

    return (tensor.cpu() if tensor.device.type == "mps" else tensor).to(torch.float64, copy=True)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute float32 products in float32 while the block lasts, and not in TF32, which keeps 10 bits of 23.

    Convolutions on a CUDA device take TF32 unless they are told not to; a training may have asked for it everywhere.
    What was set before is set again at the end.
    """
    import torch

    kinds: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)  # torch's types do not know the flag
    before = [kind.allow_tf32 for kind in kinds]
    try:
        for kind in kinds:
            kind.allow_tf32 = False
        yield
    finally:
        for kind, allowed in zip(kinds, before, strict=True):
            kind.allow_tf32 = allowed
