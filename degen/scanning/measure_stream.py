"""The part of a measurement that needs text: one pass for all stream probes, training, rows, then model probes.

`measure_stream` is called by `measure.measure` and by `degen.callbacks.monitor`; it calls `degen.forward.run_pass`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from degen.device import memory_errors
from degen.errors import CheckpointError
from degen.forward.head_inputs import ModelHeadInputs
from degen.forward.known_heads import HeadChangedError
from degen.forward.learned_positions import check_positions
from degen.forward.run_pass import PassResult, run_pass
from degen.model.architecture import Architecture
from degen.model.flops import forward_flops
from degen.probe import StreamProbe, probe_errors
from degen.states.shared_states import SharedStates, StateProbe
from degen.tables import CHECKPOINTS, Rows
from degen.text.windows import Sample

from .measure_model import measure_model
from .measure_spec import MeasureSpec
from .timing import Clock


def measure_stream(
    model: Any,
    architecture: Architecture,
    spec: MeasureSpec,
    sample: Sample,
    batch_tokens: int,
    clock: Clock,
    advance: Callable[[int], None],
    folder: Path | None = None,
) -> list[tuple[str, Rows]]:
    """Stream the windows through a model, and return the rows of every stream probe and every model probe.

    Args:
        model: a causal LM on the device of `spec`, in evaluation mode.
        architecture: its shape.
        spec: what is to be measured.
        sample: the windows.
        batch_tokens: padded tokens of a batch at most.
        clock: the time is added to its phases.
        advance: called with the tokens of every batch done.
        folder: for what an interrupted training is continued from; None where no probe trains.

    Returns:
        The rows of every such probe, beside its name, and those that say which text each window is of.

    Raises:
        CheckpointError: the model cannot be measured.
        OutOfMemoryError: a batch of this size does not fit.
    """
    check_positions(architecture, sample)
    if not spec.stream_probes:
        return measure_model(model, spec, sample, batch_tokens, clock)
    if spec.skip_first >= sample.longest:
        raise CheckpointError(f"--skip-first {spec.skip_first} leaves nothing of windows of {sample.longest} tokens")
    with clock.phase("forward"), memory_errors():
        try:
            probes, passed = _run_once(model, spec, sample, batch_tokens, advance)
        except HeadChangedError:  # it is known now
            probes, passed = _run_once(model, spec, sample, batch_tokens, advance)
    for name, probe in probes.items():
        if probe.trains:
            assert spec.training is not None
            assert folder is not None
            flops = forward_flops(architecture, sample.longest)
            inputs = ModelHeadInputs(model, batch_tokens, spec.device, passed.padded, flops)
            with clock.phase(f"{name} training"), probe_errors(name), memory_errors():
                probe.train(inputs, spec.training(), folder / name, spec.on_progress)
    measured = _rows_of_pass(spec, sample, passed)
    for name, probe in probes.items():
        with clock.phase(name), probe_errors(name):
            rows = probe.finish()
            spec.tables.check_values(name, rows)
            measured.append((name, rows))
    del probe, probes  # what they keep of the states need not be in memory beside what model probes take
    return measured + measure_model(model, spec, sample, batch_tokens, clock)


def _rows_of_pass(spec: MeasureSpec, sample: Sample, passed: PassResult) -> list[tuple[str, Rows]]:
    """Return the rows that no probe fills: of windows, of the number of blocks, of sites that could not be read."""
    measured: list[tuple[str, Rows]] = []
    if "windows" in spec.tables.names:
        windows = [{"window": w.number, "document": w.document, "domain": w.domain} for w in sample.windows]
        measured.append(("degen", {"windows": windows}))
    if passed.blocks is not None:
        measured.append(("degen", {CHECKPOINTS: [{"layers": passed.blocks}]}))
    if passed.unread and "layers" in spec.tables.names:
        sites = [{"layer": site.layer, "site": site.name, "reason": reason} for site, reason in passed.unread.items()]
        measured.append(("degen", {"layers": sites}))
    return measured


def _run_once(
    model: Any, spec: MeasureSpec, sample: Sample, batch_tokens: int, advance: Callable[[int], None]
) -> tuple[dict[str, StreamProbe], PassResult]:
    """Run the windows through a model once, and return new probes that were fed with them."""
    probes = _make_probes(spec, sample)
    return probes, run_pass(model, sample, probes, batch_tokens, spec.device, advance, skip_first=spec.skip_first)


def _make_probes(spec: MeasureSpec, sample: Sample) -> dict[str, StreamProbe]:
    """Return a new instance of every stream probe, by name; those of states share their accumulators."""
    probes = {}
    shared = SharedStates(sample, spec.skip_first)
    for name, probe_class in spec.stream_probes.items():
        with probe_errors(name):
            probes[name] = probe = probe_class(sample, **spec.options.get(name, {}))
            if isinstance(probe, StateProbe):
                probe.share(shared)
    return probes
