"""The part of a measurement that needs no text: the probes of the head, and of what is stored."""

from __future__ import annotations

from typing import Any

from degen.checkpoints.source import Source
from degen.device import factor_device
from degen.model.architecture import find_head
from degen.model.final_norm import find_final_norm
from degen.model.lm_head import Head, used_rows
from degen.probe import probe_errors
from degen.tables import Rows
from degen.weights.open_weights import LoadedTensors

from .measure_spec import MeasureSpec
from .timing import Clock


def head_of(model: Any, ids: frozenset[int] | None) -> Head:
    """Return the head of a model in memory, as head probes see it; `ids` are the tokenizer's."""
    head = find_head(model)
    weight = head.weight.detach()
    device, rows = factor_device(weight.device), used_rows(ids, weight.shape[0])
    tensors = {"lm_head.weight": weight.cpu()}
    if getattr(head, "bias", None) is not None:
        tensors["lm_head.bias"] = head.bias.detach().cpu()
    if (norm := find_final_norm(model, weight.shape[1])) is not None:
        tensors[f"{norm.name}.weight"] = model.get_submodule(norm.name).weight.detach().cpu()
    return Head(LoadedTensors(tensors), "lm_head.weight", rows, device, norm)


def measure_head(head: Head, spec: MeasureSpec, clock: Clock) -> list[tuple[str, Rows]]:
    """Return the rows of every head probe, beside its name.

    Raises:
        CheckpointError: a probe failed.
    """
    measured = []
    try:
        for name, probe_class in spec.head_probes.items():
            with clock.phase(name), probe_errors(name):
                probe = probe_class(**spec.options.get(name, {}))
                if "counts" in probe.needs:
                    probe.counts = spec.token_counts(head.shape[0])
                measured.append((name, probe.measure(head)))
    finally:
        head.shared.clear()
    return measured


def measure_sources(source: Source, spec: MeasureSpec, clock: Clock) -> list[tuple[str, Rows]]:
    """Return the rows of every probe of what is stored of a checkpoint, beside its name.

    Raises:
        CheckpointError: a probe failed.
    """
    measured = []
    for name, probe_class in spec.source_probes.items():
        with clock.phase(name), probe_errors(name):
            probe = probe_class()
            probe.ids = spec.ids
            if "counts" in probe.needs:
                probe.counts_of = spec.token_counts
            measured.append((name, probe.measure(source, spec.first or source)))
    return measured
