"""The pass: every window goes through the model once, for all stream probes together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.device import exact_float32
from degen.errors import NotFiniteError
from degen.model.logit_tolerances import OTHER_CALL, SAME_CALL
from degen.probe import Batch, OutputHead, Site, StreamProbe, probe_errors
from degen.text.windows import Sample, batches

from .batches import padded_batches, prefetched
from .cross_entropy import token_losses
from .hooks import ModelHooks
from .identity_check import UntouchedCall, call_untouched, check_same_call, check_untouched
from .prepare import prepare

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class PassResult:
    """What is left to know after a pass.

    Attributes:
        unread: why a site gave no states that probes can read, by site.
        padded: whether windows of different lengths were in one batch.
        blocks: how many the model was seen to call; None where that was not watched.
    """

    unread: Mapping[Site, str]
    padded: bool
    blocks: int | None


def run_pass(
    model: Any,
    sample: Sample,
    probes: Mapping[str, StreamProbe],
    batch_tokens: int,
    device: torch.device,
    advance: Callable[[int], None],
) -> PassResult:
    """Run a sample through a model, once for all probes.

    States are passed to the probes batch by batch, and are not kept. The model's own head is applied to a few positions
    alone: the states before it are caught by a hook, and losses are computed from those.

    Args:
        model: a causal LM on `device`.
        sample: the windows.
        probes: by name; they are updated in place.
        batch_tokens: padded tokens of a batch at most.
        device: where the model is.
        advance: called with the number of tokens after every batch.

    Raises:
        CheckpointError: our logits are not the model's, or the tokenizer has ids that the model has not.
        NotFiniteError: states or losses are not finite.
    """
    import torch

    prepared = prepare(model, sample, probes, batch_tokens, device)
    head = prepared.head
    halves = any(probe.halves for probe in probes.values())
    coming = padded_batches(sample, batch_tokens, device, halves, prepared.padded)
    with torch.inference_mode(), exact_float32():
        first = _first_window(model, sample, batch_tokens, device, halves, prepared.padded)
        untouched: UntouchedCall | None = first
        with ModelHooks(model, probes, prepared.blocks) as hooks:
            hooks.begin(head)
            hooks.positions = first.positions
            for batch in prefetched(coming):
                states, own = hooks.run(batch)
                _check_finite(model, batch, states, sample)
                if untouched is not None:
                    compared = states[0, untouched.positions]
                    check_same_call(model, head, compared, own, SAME_CALL)
                    with hooks.paused():
                        check_untouched(model, head, compared, untouched, OTHER_CALL)
                    untouched, hooks.positions = None, slice(0, 1)
                if hooks.needs("losses"):
                    _update_losses(model, head, hooks, batch, states)
                advance(int(batch.ids.numel() if batch.mask is None else batch.mask.sum()))
    return PassResult(hooks.unread, prepared.padded, len(prepared.blocks.names) or None)


def _first_window(
    model: Any, sample: Sample, batch_tokens: int, device: torch.device, halves: bool, padded: bool
) -> UntouchedCall:
    """Return what the model gives, without hooks, for the first window of the first batch."""
    import torch

    first = next(batches(sample, batch_tokens, halves, padded))[0]
    ids = torch.from_numpy(sample.windows[first].tokens.astype(np.int64))
    return call_untouched(model, ids.unsqueeze(0).to(device))


def _check_finite(model: Any, batch: Batch, states: torch.Tensor, sample: Sample) -> None:
    bad = ~states.isfinite().all(dim=-1)
    if batch.mask is not None:
        bad &= batch.mask
    if bad.any():
        window = sample.windows[int(batch.windows[int(bad.any(dim=1).nonzero()[0])])].number
        raise NotFiniteError(f"NaN or infinity in the states of window {window}; {_cause(model)}")


def _cause(model: Any) -> str:
    """Return a message on the parameter that holds NaN or infinity, or on overflow where none does."""
    for name, parameter in model.named_parameters():
        bad = int((~parameter.isfinite()).sum())
        if bad:
            return f"the parameter {name} holds {bad} such values"
    return f"the parameters are finite, so {model.dtype} overflows: try --dtype float32"


def _update_losses(model: Any, head: OutputHead, hooks: ModelHooks, batch: Batch, states: torch.Tensor) -> None:
    """Pass the loss of every token but a window's first to the probes that need losses."""
    import torch

    targets = batch.ids[:, 1:]
    scored = torch.ones_like(targets, dtype=torch.bool) if batch.mask is None else batch.mask[:, 1:]
    scored_losses = token_losses(states[:, :-1][scored], targets[scored], head, head.transform)
    if not scored_losses.isfinite().all():
        raise NotFiniteError(f"the loss of some tokens is NaN or infinite; {_cause(model)}")
    losses = torch.zeros(targets.shape, device=states.device)
    losses[scored] = scored_losses
    for name, probe in hooks.probes.items():
        if "losses" in probe.needs:
            with probe_errors(name):
                probe.update_losses(batch, losses, scored)
