"""Differences between devices: how each reports that memory is out, which floats it has, and which it computes with."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from .errors import DegenError

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
    torch = sys.modules.get("torch")  # without it, no error is one of its
    phrases = ("can't allocate memory", "not enough memory")
    return (
        isinstance(error, MemoryError | OutOfMemoryError)
        or (torch is not None and isinstance(error, torch.OutOfMemoryError))
        or (isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in phrases))
        or is_unmapped(error)
    )


def is_unmapped(error: BaseException) -> bool:
    """Return whether an error means that the system maps no file for want of memory, which is no fault of the file.

    An allocation whose size the file says may be refused for that size, and is no such error.
    """
    text = str(error)
    return not isinstance(error, DegenError) and (
        (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or ("Cannot allocate memory" in text and "you tried to allocate" not in text)
    )


@cache
def has_float64(device: torch.device) -> bool:
    """Return whether a device computes in float64: Apple's do not, and some of Intel's."""
    import torch

    if device.type == "xpu":
        return bool(getattr(torch.xpu.get_device_properties(device), "has_fp64", False))
    return device.type != "mps"


def count_cards(device: torch.device) -> int:
    """Return how many accelerators of a device's kind this machine has; 0 for a CPU."""
    import torch

    return 0 if device.type == "cpu" else int(torch.get_device_module(device).device_count())


def factor_device(device: torch.device) -> torch.device | None:
    """Return the accelerator on which matrices are factorised in float64; None for a CPU or one without float64."""
    return device if device.type != "cpu" and has_float64(device) else None


def as_float64(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy in float64: on the tensor's own device, or on the CPU where the device has no float64."""
    import torch

    return (tensor if has_float64(tensor.device) else tensor.cpu()).to(torch.float64, copy=True)


def gram(rows: torch.Tensor) -> torch.Tensor:
    """Return XᵀX of n × d rows X, d × d. On a CPU by NumPy, which computes one half of the symmetric matrix alone."""
    import numpy as np
    import torch

    if rows.device.type != "cpu":
        return rows.T @ rows
    values = rows.numpy()
    with np.errstate(all="ignore"):  # NaN and infinity are for the caller to find
        return torch.from_numpy(values.T @ values)


def product_in_float32(A: torch.Tensor, B: torch.Tensor) -> torch.Tensor:
    """Return the products of two batches of matrices of bfloat16, b × m × k and b × k × n, summed and kept in float32.

    CUDA does it as it is; other devices, and torch before 2.8, copy both to float32 first.
    """
    import torch

    if A.device.type == "cuda" and torch.version.hip is None and hasattr(torch.ops.aten.bmm, "dtype"):
        return torch.bmm(A, B, out_dtype=torch.float32)
    return torch.bmm(A.float(), B.float())


def copied_ahead(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor of the CPU on a device; a CUDA device copies it from pinned memory when it comes to it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute float32 products in float32 while the block lasts, and not in TF32, which keeps 10 bits of 23.

    Convolutions on a CUDA device take TF32 unless they are told not to; a training may have asked for it everywhere.
    What was set before is set again at the end.
    """
    switches = _tf32_switches()
    try:
        for switch, name, exact, _ in switches:
            setattr(switch, name, exact)
        yield
    finally:
        for switch, name, _, before in switches:
            setattr(switch, name, before)


def _tf32_switches() -> list[tuple[Any, str, Any, Any]]:
    """Return where torch keeps whether TF32 is taken: object, attribute, its value for exact products, and as it is.

    Where precision was set by kind of operation, the older switch for all of them cannot be read any more.
    """
    import torch

    matmul: Any = torch.backends.cuda.matmul  # torch's types know these switches in part
    cudnn: Any = torch.backends.cudnn
    try:
        return [(switch, "allow_tf32", False, switch.allow_tf32) for switch in (matmul, cudnn)]
    except RuntimeError:
        kinds = (matmul, cudnn.conv, cudnn.rnn)
        return [(kind, "fp32_precision", "ieee", kind.fp32_precision) for kind in kinds]
