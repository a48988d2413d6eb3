"""The part of a measurement that needs no text: the probes of the head, and of what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from degen.checkpoints.source import Source
from degen.device import factor_device
from degen.errors import CheckpointError, NotFiniteError, ProbeError, one_line
from degen.model.architecture import Architecture
from degen.model.final_norm import find_final_norm
from degen.model.lm_head import Head, used_rows
from degen.placement.output_layer import output_layer, readable
from degen.placement.rows_on_demand import is_on_demand
from degen.probe import Probe, probe_errors
from degen.tables import CHECKPOINTS, Rows
from degen.weights.open_weights import LoadedTensors

from .measure_spec import MeasureSpec
from .timing import Clock

if TYPE_CHECKING:
    import torch


def head_of(model: Any, ids: frozenset[int] | None, shape: Architecture | None = None) -> Head:
    """Return the head of a model in memory, as head probes see it.

    Args:
        model: a causal LM; where it does not hold its head, rows are fetched as they are read.
        ids: the tokenizer's.
        shape: the architecture, where the parameters of the model do not show it; None to look at the model.
    """
    layer = output_layer(model)
    weight = layer.weight.detach()
    device, rows = factor_device(weight.device), used_rows(ids, weight.shape[0])
    tensors = {"lm_head.weight": _on_cpu(weight)}
    if layer.bias is not None:
        tensors["lm_head.bias"] = _on_cpu(layer.bias.detach())
    norm = shape.final_norm if shape is not None else find_final_norm(model, weight.shape[1])
    if norm is not None:
        module = model.get_submodule(norm.name)
        tensors[f"{norm.name}.weight"] = readable(model, module, "weight", shape=weight.shape[1:]).detach()[:].cpu()
    return Head(LoadedTensors(tensors), "lm_head.weight", rows, device, norm)


def _on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor on the CPU; rows that are fetched when they are read go there then."""
    return tensor.on("cpu") if is_on_demand(tensor) else tensor.cpu()  # type: ignore[attr-defined]


def measure_head(
    head: Head, spec: MeasureSpec, clock: Clock, failures: list[CheckpointError]
) -> list[tuple[str, Rows]]:
    """Return the rows of every head probe, beside its name; of one that fails, see `probe_failures`.

    Args:
        head: of the checkpoint.
        spec: what is to be measured.
        clock: the time is added to the phase of each probe.
        failures: gets the errors of those that failed.

    Raises:
        CheckpointError: the head cannot be read, or a default probe failed.
    """
    measured: list[tuple[str, Rows]] = []
    try:
        for name, probe_class in spec.head_probes.items():
            with clock.phase(name), probe_failures(name, probe_class, measured, failures):
                probe = probe_class(**spec.options.get(name, {}))
                if "counts" in probe.needs:
                    probe.counts = spec.token_counts(head.shape[0])
                rows = probe.measure(head)
                spec.tables.check_values(name, rows)
                measured.append((name, rows))
    finally:
        head.shared.clear()
    return measured


def measure_sources(
    source: Source, spec: MeasureSpec, clock: Clock, failures: list[CheckpointError]
) -> list[tuple[str, Rows]]:
    """Return the rows of every probe of what is stored of a checkpoint, beside its name; as `measure_head` does.

    Raises:
        CheckpointError: what is stored cannot be read, or a default probe failed.
    """
    measured: list[tuple[str, Rows]] = []
    for name, probe_class in spec.source_probes.items():
        with clock.phase(name), probe_failures(name, probe_class, measured, failures):
            probe = probe_class()
            probe.ids = spec.ids
            if "counts" in probe.needs:
                probe.counts_of = spec.token_counts
            rows = probe.measure(source, spec.first or source)
            spec.tables.check_values(name, rows)
            measured.append((name, rows))
    return measured


@contextmanager
def probe_failures(
    name: str, probe_class: type[Probe], measured: list[tuple[str, Rows]], failures: list[CheckpointError]
) -> Iterator[None]:
    """Keep the figures of other probes where one that is measured on request alone fails in the block.

    A fault of the probe, or values that are not finite, then leave a reason in `checkpoints`. Where files cannot be
    read the checkpoint fails, so that it is measured anew when the scan is asked for again.

    Raises:
        CheckpointError: files cannot be read, or a default probe failed.
    """
    try:
        with probe_errors(name):
            yield
    except (ProbeError, NotFiniteError) as error:
        if probe_class.default:
            raise
        failures.append(error)
        measured.append((name, {CHECKPOINTS: [{"reason": f"{name} not measured: {one_line(error)}"}]}))
