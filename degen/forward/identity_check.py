"""The identity check: our head on what the head received must give the model's own logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.errors import CheckpointError
from degen.text.windows import Sample, batches

from .hooks import IDENTITY_POSITIONS, ModelHooks

if TYPE_CHECKING:
    import torch


def untouched_logits(model: Any, sample: Sample, batch_tokens: int, device: torch.device, halves: bool) -> torch.Tensor:
    """Return the logits of a model without hooks at the first positions of the first batch's first window, T × V."""
    import torch

    first = next(batches(sample, batch_tokens, halves))[0]
    ids = torch.from_numpy(sample.windows[first].tokens[:IDENTITY_POSITIONS].astype(np.int64))
    logits: torch.Tensor = model(input_ids=ids.unsqueeze(0).to(device)).logits[0].float()
    return logits


def check_identity(
    model: Any, taps: ModelHooks, states: torch.Tensor, expected: torch.Tensor, tolerances: Mapping[str, float]
) -> None:
    """Check that our head on what the head received gives the model's own logits, caps and scales included.

    Args:
        model: the causal LM.
        taps: the hooks, which know the head and what the model does to logits.
        states: what the head received, B × T × d.
        expected: the model's own logits of the first positions of the first window, T × V.
        tolerances: largest difference allowed, relative to the largest logit, by dtype.

    Raises:
        CheckpointError: they differ by more than rounding.
    """
    import torch

    head = taps.head
    ours = torch.nn.functional.linear(states[0, : len(expected)], head.weight, getattr(head, "bias", None))
    ours, finite = taps.transform(ours.float()), expected.isfinite()
    apart = (ours - expected)[finite].abs().max().item() if finite.any() else 0.0
    largest = expected[finite].abs().max().item() if finite.any() else 0.0
    tolerance = tolerances[str(states.dtype).removeprefix("torch.")] * largest
    if not (apart <= tolerance and torch.equal(finite, ours.isfinite())):
        raise CheckpointError(
            f"identity check failed for model type {model.config.model_type!r}: our logits are {apart:.3g} from the "
            f"model's own, {tolerance:.3g} is rounding; figures would be wrong, so none are given. "
            "Please open an issue with the model's name"
        )
