"""The pass: every window goes through the model once, for all stream probes together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from degen.device import exact_float32
from degen.errors import CheckpointError, NotFiniteError
from degen.model.logit_tolerances import OTHER_CALL, SAME_CALL
from degen.probe import Batch, StreamProbe, probe_errors
from degen.text.windows import Sample

from .batches import padded_batches, prefetched
from .cross_entropy import token_losses
from .hooks import ModelHooks
from .identity_check import check_identity, logits_without_hooks

if TYPE_CHECKING:
    import torch


def run_pass(
    model: Any,
    sample: Sample,
    probes: Mapping[str, StreamProbe],
    batch_tokens: int,
    device: torch.device,
    advance: Callable[[int], None],
) -> None:
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

    _check_ids(model, sample)
    halves = any(probe.halves for probe in probes.values())
    with torch.inference_mode(), exact_float32():
        unhooked: torch.Tensor | None = logits_without_hooks(model, sample, batch_tokens, device, halves)
        with ModelHooks(model, probes) as hooks:
            hooks.begin()
            for batch in prefetched(padded_batches(sample, batch_tokens, device, halves)):
                states, own = hooks.run(batch)
                _check_finite(model, batch, states, sample)
                if unhooked is not None:
                    check_identity(model, hooks, states, own, SAME_CALL)
                    check_identity(model, hooks, states, unhooked, OTHER_CALL)
                    unhooked = None
                if hooks.needs("losses"):
                    _update_losses(model, hooks, batch, states)
                advance(int(batch.ids.numel() if batch.mask is None else batch.mask.sum()))


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


def _check_ids(model: Any, sample: Sample) -> None:
    """Check that the model has a row for every id; the tokenizer of another model may have more."""
    rows = model.get_input_embeddings().weight.shape[0]
    largest = max(int(w.tokens.max()) for w in sample.windows)
    if largest >= rows:
        raise CheckpointError(
            f"the tokenizer gives id {largest}, and the model has {rows} rows: is it this model's tokenizer?"
        )


def _update_losses(model: Any, hooks: ModelHooks, batch: Batch, states: torch.Tensor) -> None:
    """Pass the loss of every token but a window's first to the probes that need losses."""
    import torch

    targets = batch.ids[:, 1:]
    scored = torch.ones_like(targets, dtype=torch.bool) if batch.mask is None else batch.mask[:, 1:]
    scored_losses = token_losses(states[:, :-1][scored], targets[scored], hooks.head, hooks.transform)
    if not scored_losses.isfinite().all():
        raise NotFiniteError(f"the loss of some tokens is NaN or infinite; {_cause(model)}")
    losses = torch.zeros(targets.shape, device=states.device)
    losses[scored] = scored_losses
    for name, probe in hooks.probes.items():
        if "losses" in probe.needs:
            with probe_errors(name):
                probe.update_losses(batch, losses, scored)
