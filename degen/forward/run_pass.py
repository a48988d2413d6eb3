"""The pass: every window goes through the model once, for all stream probes together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.device import exact_float32
from degen.errors import NotFiniteError
from degen.model.logit_tolerances import OTHER_CALL, SAME_CALL
from degen.placement.output_layer import without_gradients
from degen.placement.shards import local_parameters
from degen.probe import Batch, OutputHead, Site, StreamProbe
from degen.text.windows import Sample, batches

from .batches import padded_batches, prefetched
from .cross_entropy import token_losses
from .hooks import ModelHooks
from .host_reads import HostReads
from .identity_check import UntouchedCall, call_untouched, check_same_call, check_untouched, positions_of
from .known_heads import check_known, remember_head
from .one_sequence import one_sequence_a_row
from .prepare import PreparedModel, prepare

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
    overlaps: bool | None = None,
    skip_first: int = 0,
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
        overlaps: whether the host runs ahead of the device: it asks for a batch before it has read the results of the
            one before, and takes for granted what it knows of a configuration; None to do so on an accelerator alone.
        skip_first: positions at the start of each window whose states are not handed to probes of states.

    Raises:
        HeadChangedError: what was known of the configuration is not true of this model; the probes are spoilt, and a
            second pass with new ones measures it.
        CheckpointError: our logits are not the model's, or the tokenizer has ids that the model has not.
        NotFiniteError: states or losses are not finite.
    """
    import torch

    overlaps = device.type != "cpu" if overlaps is None else overlaps
    prepared = prepare(model, sample, probes, batch_tokens, device, trusts=overlaps)
    halves = any(probe.halves for probe in probes.values())
    reads = HostReads(device, later=overlaps)
    coming = padded_batches(sample, batch_tokens, device, halves, prepared.padded, reads)
    first = next(batches(sample, batch_tokens, halves, prepared.padded))[0]
    window = torch.from_numpy(sample.windows[first].tokens.astype(np.int64)).unsqueeze(0)
    with without_gradients(model), exact_float32(), one_sequence_a_row() if overlaps else nullcontext():
        untouched = None if prepared.is_known else call_untouched(model, window, device)
        with ModelHooks(model, probes, prepared.blocks, reads, skip_first) as hooks, reads.explaining():
            hooks.show_first(positions_of(window), with_ladder=prepared.is_known)
            hooks.begin(prepared.head)
            for number, batch in enumerate(prefetched(coming)):
                states, own = hooks.run(batch)
                _check_finite(model, batch, states, sample)
                if number == 0:
                    _check_head(prepared, hooks, batch, states, own, untouched)
                    hooks.show_first(slice(0, 1))
                if hooks.needs("losses"):
                    _update_losses(model, prepared.head, hooks, batch, states)
                reads.end_batch()
                advance(batch.token_count)
            reads.finish()
    if overlaps:
        remember_head(model, prepared.key, prepared.head)
    return PassResult(hooks.unread, prepared.padded, len(prepared.blocks.names) or None)


def _check_head(
    prepared: PreparedModel,
    hooks: ModelHooks,
    batch: Batch,
    states: torch.Tensor,
    own: torch.Tensor,
    untouched: UntouchedCall | None,
) -> None:
    """Check in the first batch that our logits are the model's own; see `degen.forward.identity_check`.

    Args:
        prepared: the model and its head.
        hooks: that were called in the first batch.
        batch: the first batch.
        states: what the head received.
        own: the logits that the model gave for what its head was shown.
        untouched: the call without hooks; None for a head that is known, whose ladder is checked in its place.
    """
    model, head = prepared.model, prepared.head
    compared = states[0, hooks.positions].clone()  # a view would keep all states
    if hooks.ladder is not None:
        check_known(model, prepared.key, hooks.ladder, own[len(compared) :], SAME_CALL, batch.read)
    check_same_call(model, head, compared, own[: len(compared)], SAME_CALL, batch.read)
    if untouched is not None:
        check_untouched(model, head, compared, untouched, OTHER_CALL, hooks, batch.read)


def _check_finite(model: Any, batch: Batch, states: torch.Tensor, sample: Sample) -> None:
    """Check that the states of tokens are finite, once that is known on the host.

    Raises:
        NotFiniteError: they are not.
    """

    def judge(bad: Any) -> None:
        if bad.any():
            window = sample.windows[int(batch.windows[int(bad.nonzero()[0][0])])].number
            raise NotFiniteError(f"NaN or infinity in the states of window {window}; {_cause(model)}")

    bad = ~states.isfinite().all(dim=-1)
    if batch.mask is not None:
        bad &= batch.mask
    batch.read(judge, bad.any(dim=1))


def _cause(model: Any) -> str:
    """Return a message on the parameter that holds NaN or infinity, or on overflow where none does."""
    for name, parameter in local_parameters(model):
        bad = int((~parameter.isfinite()).sum()) if not parameter.is_meta else 0
        if bad:
            return f"the parameter {name} holds {bad} such values"
    return f"the parameters are finite, so {model.dtype} overflows: try --dtype float32"


def _update_losses(model: Any, head: OutputHead, hooks: ModelHooks, batch: Batch, states: torch.Tensor) -> None:
    """Pass the loss of every token but a window's first to the probes that need losses.

    Raises:
        NotFiniteError: a loss is not finite, once that is known on the host.
    """
    import torch

    def judge(finite: Any) -> None:
        if not finite:
            raise NotFiniteError(f"the loss of some tokens is NaN or infinite; {_cause(model)}")

    targets, at = batch.ids[:, 1:], batch.scored_at
    scored_losses = token_losses(states, targets[at], head, head.transform, at)
    batch.read(judge, scored_losses.isfinite().all())
    losses = torch.zeros(targets.shape, device=states.device)
    losses[at] = scored_losses
    hooks.serve_losses(batch, losses)
