"""The pass: every window through the model once, every stream probe served on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from degen.errors import CheckpointError, NotFiniteError
from degen.model.logit_tolerances import SAME_CALL, UNTOUCHED_CALL
from degen.probe import Batch, StreamProbe, probe_errors
from degen.text.windows import Sample

from .batches import padded_batches, prefetched
from .cross_entropy import token_losses
from .hooks import ModelHooks
from .identity_check import check_identity, untouched_logits

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
    """Stream a sample through a model, once for all probes.

    States are handed to the probes as the pass moves on, and die with it. The head itself sees a few positions of a
    batch: what it receives is caught on its threshold, and the losses are made from there.

    Args:
        model: a causal LM on `device`.
        sample: the windows.
        probes: accumulators by name, fed in place.
        batch_tokens: padded tokens of a batch at most.
        device: where the model is.
        advance: told the tokens of every batch done.

    Raises:
        CheckpointError: our logits are not the model's.
        NotFiniteError: states or losses are not finite.
    """
    import torch

    _check_ids(model, sample)
    halves = any(probe.halves for probe in probes.values())
    with torch.inference_mode():
        untouched: torch.Tensor | None = untouched_logits(model, sample, batch_tokens, device, halves)
        with ModelHooks(model, probes) as taps:
            taps.begin()
            for batch in prefetched(padded_batches(sample, batch_tokens, device, halves)):
                states, own = taps.run(batch)
                _check_finite(model, batch, states, sample)
                if untouched is not None:
                    check_identity(model, taps, states, own, SAME_CALL)
                    check_identity(model, taps, states, untouched, UNTOUCHED_CALL)
                    untouched = None
                if taps.wants("losses"):
                    _serve_losses(model, taps, batch, states)
                advance(int(batch.ids.numel() if batch.mask is None else batch.mask.sum()))


def _check_finite(model: Any, batch: Batch, states: torch.Tensor, sample: Sample) -> None:
    bad = ~states.isfinite().all(dim=-1)
    if batch.mask is not None:
        bad &= batch.mask
    if bad.any():
        window = sample.windows[int(batch.windows[int(bad.any(dim=1).nonzero()[0])])].number
        raise NotFiniteError(f"NaN or infinity in the states of window {window}; {_culprit(model)}")


def _culprit(model: Any) -> str:
    """Return which parameter is to blame, or that none is."""
    for name, parameter in model.named_parameters():
        bad = int((~parameter.isfinite()).sum())
        if bad:
            return f"the parameter {name} holds {bad} such values"
    return f"the parameters are finite, so {model.dtype} overflows: try --dtype float32"


def _check_ids(model: Any, sample: Sample) -> None:
    """Check that the model has a row for every id; a tokenizer of another model may give more."""
    rows = model.get_input_embeddings().weight.shape[0]
    largest = max(int(w.tokens.max()) for w in sample.windows)
    if largest >= rows:
        raise CheckpointError(
            f"the tokenizer gives id {largest}, and the model has {rows} rows: is it this model's tokenizer?"
        )


def _serve_losses(model: Any, taps: ModelHooks, batch: Batch, states: torch.Tensor) -> None:
    """Hand the loss of every token but a window's first to the probes that need losses."""
    import torch

    targets = batch.ids[:, 1:]
    scored = torch.ones_like(targets, dtype=torch.bool) if batch.mask is None else batch.mask[:, 1:]
    found = token_losses(states[:, :-1][scored], targets[scored], taps.head, taps.transform)
    if not found.isfinite().all():
        raise NotFiniteError(f"the loss of some tokens is NaN or infinite; {_culprit(model)}")
    losses = torch.zeros(targets.shape, device=states.device)
    losses[scored] = found
    for name, probe in taps.probes.items():
        if "losses" in probe.needs:
            with probe_errors(name):
                probe.update_losses(batch, losses, scored)
