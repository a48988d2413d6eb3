"""The identity check: our logits, from the states before the head, must be those of the model itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.errors import CheckpointError
from degen.text.windows import Sample, batches

from .hooks import IDENTITY_POSITIONS, ModelHooks

if TYPE_CHECKING:
    import torch


def logits_without_hooks(
    model: Any, sample: Sample, batch_tokens: int, device: torch.device, halves: bool
) -> torch.Tensor:
    """Return the logits of a model at the first positions of the first batch's first window, T × V."""
    import torch

    first = next(batches(sample, batch_tokens, halves))[0]
    ids = torch.from_numpy(sample.windows[first].tokens[:IDENTITY_POSITIONS].astype(np.int64))
    logits: torch.Tensor = model(input_ids=ids.unsqueeze(0).to(device)).logits[0].float()
    return logits


def check_identity(
    model: Any, hooks: ModelHooks, states: torch.Tensor, expected: torch.Tensor, tolerances: Mapping[str, float]
) -> None:
    """Check that our logits are the model's own, caps and scales included.

    Args:
        model: the causal LM.
        hooks: give the head, and what the model does to logits.
        states: what the head received, B × T × d.
        expected: the model's own logits of the first positions of the first window, T × V.
        tolerances: largest difference allowed, relative to the largest logit, by dtype.

    Raises:
        CheckpointError: they differ by more than rounding.
    """
    import torch

    head = hooks.head
    ours = torch.nn.functional.linear(states[0, : len(expected)], head.weight, getattr(head, "bias", None))
    ours, finite = hooks.transform(ours.float()), expected.isfinite()
    apart = (ours - expected)[finite].abs().max().item() if finite.any() else 0.0
    largest = expected[finite].abs().max().item() if finite.any() else 0.0
    tolerance = tolerances[str(states.dtype).removeprefix("torch.")] * largest
    if not (apart <= tolerance and torch.equal(finite, ours.isfinite())):
        raise CheckpointError(
            f"identity check failed for model type {model.config.model_type!r}: our logits differ from the model's own "
            f"by {apart:.3g}, and rounding explains {tolerance:.3g}; no figures are given, as they would be wrong. "
            "Please open an issue with the model's name"
        )
