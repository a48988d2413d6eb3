"""Sums in float64, also on devices that have none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def as_float64(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in float64: on the tensor's own device, or on the CPU where the device (Apple's) has no float64."""
    import torch

    return (tensor.cpu() if tensor.device.type == "mps" else tensor).to(torch.float64, copy=True)
