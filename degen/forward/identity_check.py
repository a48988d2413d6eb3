"""The identity check: our logits, from the states before the head, must be those of the model itself.

The model is called once without hooks on the whole first window, its second half changed. So the check sees what hangs
on the length of a call, as some rotary embeddings do, and what hangs on tokens to come, which no causal LM sees.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from degen.device import copied_ahead
from degen.errors import CheckpointError
from degen.probe import OutputHead, read_now

from .fit_transform import call_for_logits
from .hooks import IDENTITY_POSITIONS, ModelHooks

if TYPE_CHECKING:
    import torch

Read = Callable[..., None]  # as `degen.probe.Batch.read`


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


def positions_of(ids: torch.Tensor) -> slice:
    """Return the positions of a window, 1 × T, at which logits are compared: those before its middle."""
    middle = max(ids.shape[1] // 2, 1)
    return slice(max(middle - IDENTITY_POSITIONS, 0), middle)


def call_untouched(model: Any, ids: torch.Tensor, device: torch.device) -> UntouchedCall:
    """Return the logits of a model before the middle of a window, with other tokens behind the middle.

    Args:
        model: a causal LM without hooks, or with hooks that are paused.
        ids: the window, 1 × T, on the CPU.
        device: where the model is.
    """
    positions = positions_of(ids)
    middle = positions.stop
    changed = ids.clone()
    changed[:, middle:] = ids[:, middle:].flip(1)
    if changed.equal(ids):  # a tail that reads the same from both ends
        changed[:, middle:] = ids[:, :1]
    kept, changed = (copied_ahead(tensor, device) for tensor in (ids, changed))
    return UntouchedCall(kept, positions, _logits_at(model, changed, positions))


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
    model: Any, head: OutputHead, states: torch.Tensor, own: torch.Tensor, tolerances: Mapping[str, float], read: Read
) -> None:
    """Check that our logits are those that the model itself gave in the same call, caps and scales included.

    Args:
        model: the causal LM.
        head: its head, and what the model does to logits.
        states: what the head received at some positions of the first window, positions × d.
        own: the model's logits there.
        tolerances: largest difference allowed, relative to the largest logit, by dtype.
        read: calls a function with tensors once they are on the host; the check is made then.

    Raises:
        CheckpointError: they differ by more than rounding.
    """

    def judge(*compared: Any) -> None:
        if (apart := _beyond_rounding(compared, states.dtype, tolerances)) is not None:
            raise _failed(model, apart)

    read(judge, *_compare(head, states, own))


def check_untouched(
    model: Any,
    head: OutputHead,
    states: torch.Tensor,
    untouched: UntouchedCall,
    tolerances: Mapping[str, float],
    hooks: ModelHooks,
    read: Read,
) -> None:
    """Check that our logits are those of the model without hooks, whatever follows; see `check_same_call`.

    Raises:
        CheckpointError: they differ by more than rounding, or the model sees what follows.
    """

    def judge(*compared: Any) -> None:
        if (apart := _beyond_rounding(compared, states.dtype, tolerances)) is None:
            return
        with hooks.paused():
            same = _logits_at(model, untouched.ids, untouched.positions)
        read_now(partial(judge_same, apart[0]), *_compare(head, states, same))

    def judge_same(apart: float, *compared: Any) -> None:
        if (apart_same := _beyond_rounding(compared, states.dtype, tolerances)) is not None:
            raise _failed(model, apart_same)
        raise CheckpointError(
            f"model type {model.config.model_type!r} sees what follows: its logits change by {apart:.3g} when later "
            "tokens do, so their cross-entropy is no loss of a causal LM. Set is_decoder or is_causal in config.json "
            "if it was trained as one; --probes spectrum measures its head alone"
        )

    read(judge, *_compare(head, states, untouched.logits))


def _compare(head: OutputHead, states: torch.Tensor, expected: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return by how much our logits differ, the largest logit, and how many are not finite in one of the two alone."""
    import torch

    ours = torch.nn.functional.linear(states, head.weight, head.bias)
    ours, finite = head.transform(ours.float()), expected.isfinite()
    zero = torch.zeros((), device=ours.device)
    apart = torch.where(finite, ours - expected, zero).abs().max()
    return apart, torch.where(finite, expected, zero).abs().max(), (finite != ours.isfinite()).sum()


def _beyond_rounding(
    compared: Sequence[Any], dtype: torch.dtype, tolerances: Mapping[str, float]
) -> tuple[float, float] | None:
    """Return by how much logits differ and what rounding explains, by what `_compare` found; None where it does."""
    apart, largest, unlike = float(compared[0]), float(compared[1]), int(compared[2])
    tolerance = tolerances[str(dtype).removeprefix("torch.")] * largest
    return None if apart <= tolerance and not unlike else (apart, tolerance)


def _failed(model: Any, apart: tuple[float, float]) -> CheckpointError:
    return CheckpointError(
        f"identity check failed for model type {model.config.model_type!r}: our logits differ from the model's own "
        f"by {apart[0]:.3g}, and rounding explains {apart[1]:.3g}; no figures are given, as they would be wrong. "
        "--probes spectrum measures its head alone; please open an issue with the model's name"
    )
