"""The identity check: our logits, from the states before the head, must be those of the model itself.

The model is called once without hooks on the whole first window, its second half changed. So the check sees what hangs
on the length of a call, as some rotary embeddings do, and what hangs on tokens to come, which no causal LM sees.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from degen.errors import CheckpointError
from degen.probe import OutputHead

from .fit_transform import call_for_logits
from .hooks import IDENTITY_POSITIONS

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class UntouchedCall:
    """The logits of a model that was called without hooks.

    Attributes:
        ids: the window, 1 × T, as it is.
        positions: where logits were kept, before the middle of the window.
        logits: of the window with its second half changed, positions × V.
    """

    ids: torch.Tensor
    positions: slice
    logits: torch.Tensor


def call_untouched(model: Any, ids: torch.Tensor) -> UntouchedCall:
    """Return the logits of a model before the middle of a window, with other tokens behind the middle.

    Args:
        model: a causal LM without hooks.
        ids: the window, 1 × T.
    """
    middle = max(ids.shape[1] // 2, 1)
    positions = slice(max(middle - IDENTITY_POSITIONS, 0), middle)
    changed = ids.clone()
    changed[:, middle:] = ids[:, middle:].flip(1)
    if changed.equal(ids):  # a tail that reads the same from both ends
        changed[:, middle:] = ids[:, :1]
    return UntouchedCall(ids, positions, _logits_at(model, changed, positions))


def _logits_at(model: Any, ids: torch.Tensor, positions: slice) -> torch.Tensor:
    """Return a model's logits at some positions, T × V; a model that can computes no others."""
    import torch

    kept = positions.stop - positions.start
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        indices = torch.arange(positions.start, positions.stop, device=ids.device)
        logits = call_for_logits(model, ids, logits_to_keep=indices)
        if logits.shape[1] == kept:
            return logits[0].float()
    return call_for_logits(model, ids)[0, positions].float()


def check_same_call(
    model: Any, head: OutputHead, states: torch.Tensor, own: torch.Tensor, tolerances: Mapping[str, float]
) -> None:
    """Check that our logits are those that the model itself gave in the same call, caps and scales included.

    Args:
        model: the causal LM.
        head: its head, and what the model does to logits.
        states: what the head received at some positions of the first window, positions × d.
        own: the model's logits there.
        tolerances: largest difference allowed, relative to the largest logit, by dtype.

    Raises:
        CheckpointError: they differ by more than rounding.
    """
    if (apart := _difference(head, states, own, tolerances)) is not None:
        raise _failed(model, apart)


def check_untouched(
    model: Any, head: OutputHead, states: torch.Tensor, untouched: UntouchedCall, tolerances: Mapping[str, float]
) -> None:
    """Check that our logits are those of the model without hooks, whatever follows; see `check_same_call`.

    Raises:
        CheckpointError: they differ by more than rounding, or the model sees what follows.
    """
    if (apart := _difference(head, states, untouched.logits, tolerances)) is None:
        return
    same = _logits_at(model, untouched.ids, untouched.positions)
    if (apart_same := _difference(head, states, same, tolerances)) is not None:
        raise _failed(model, apart_same)
    raise CheckpointError(
        f"model type {model.config.model_type!r} sees what follows: its logits change by {apart[0]:.3g} when later "
        "tokens do, so their cross-entropy is no loss of a causal LM. Set is_decoder or is_causal in config.json if it "
        "was trained as one; --probes spectrum measures its head alone"
    )


def _difference(
    head: OutputHead, states: torch.Tensor, expected: torch.Tensor, tolerances: Mapping[str, float]
) -> tuple[float, float] | None:
    """Return by how much our logits differ and what rounding explains; None where that is enough."""
    import torch

    ours = torch.nn.functional.linear(states, head.weight, head.bias)
    ours, finite = head.transform(ours.float()), expected.isfinite()
    apart = (ours - expected)[finite].abs().max().item() if finite.any() else 0.0
    largest = expected[finite].abs().max().item() if finite.any() else 0.0
    tolerance = tolerances[str(states.dtype).removeprefix("torch.")] * largest
    return None if apart <= tolerance and torch.equal(finite, ours.isfinite()) else (apart, tolerance)


def _failed(model: Any, apart: tuple[float, float]) -> CheckpointError:
    return CheckpointError(
        f"identity check failed for model type {model.config.model_type!r}: our logits differ from the model's own "
        f"by {apart[0]:.3g}, and rounding explains {apart[1]:.3g}; no figures are given, as they would be wrong. "
        "--probes spectrum measures its head alone; please open an issue with the model's name"
    )
