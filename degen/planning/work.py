"""What a checkpoint asks of a device, as numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """What a checkpoint asks of a device.

    Attributes:
        flops: of the forward passes.
        value: bytes of a parameter in the pass.
        parameters: of the model.
        width: d of the model.
        layers: its blocks.
        vocab: V, rows of its head.
        head_width: columns of its head.
        tokens: sent through the model.
        stored: bytes to read.
        batches: batches of the pass.
    """

    flops: float
    value: int
    parameters: int
    width: int
    layers: int
    vocab: int
    head_width: int
    tokens: int
    stored: int
    batches: int
