"""The part of a measurement that needs no text: the probes of the head, and of what is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from degen.checkpoints.source import Source
from degen.device import factor_device
from degen.model.architecture import find_head
from degen.model.lm_head import Head, used_rows
from degen.probe import probe_errors
from degen.tables import Rows
from degen.weights.open_weights import LoadedTensors

from .measure_spec import MeasureSpec
from .timing import Clock

P = TypeVar("P")


def head_of(model: Any, ids: frozenset[int] | None) -> Head:
    """Return the head of a model in memory, as head probes see it; `ids` are the tokenizer's."""
    weight = find_head(model).weight.detach()
    device, rows = factor_device(weight.device), used_rows(ids, weight.shape[0])
    return Head(LoadedTensors({"lm_head.weight": weight.cpu()}), "lm_head.weight", rows, device)


def measure_head(head: Head, spec: MeasureSpec, clock: Clock) -> list[tuple[str, Rows]]:
    """Return the rows of every head probe, beside its name.

    Raises:
        CheckpointError: a probe failed.
    """
    return _measure_each(spec.head_probes, clock, lambda probe: probe().measure(head))


def measure_sources(source: Source, spec: MeasureSpec, clock: Clock) -> list[tuple[str, Rows]]:
    """Return the rows of every probe of what is stored of a checkpoint, beside its name.

    Raises:
        CheckpointError: a probe failed.
    """
    return _measure_each(spec.source_probes, clock, lambda probe: probe().measure(source, spec.first or source))


def _measure_each(probes: Mapping[str, P], clock: Clock, measure: Callable[[P], Rows]) -> list[tuple[str, Rows]]:
    """Return what `measure` gives of each probe, beside its name; the time is that of the phase of this name."""
    measured = []
    for name, probe in probes.items():
        with clock.phase(name), probe_errors(name):
            measured.append((name, measure(probe)))
    return measured
