"""The part of a measurement that calls the loaded model by itself: the model probes, after the pass."""

from __future__ import annotations

from typing import Any

from degen.device import memory_errors
from degen.errors import DegenError, one_line
from degen.forward.loaded_model import ModelInMemory
from degen.forward.out_of_memory import halve_batch
from degen.probe import probe_errors
from degen.tables import CHECKPOINTS, Rows
from degen.text.windows import Sample

from .measure_spec import MeasureSpec
from .timing import Clock


def measure_model(
    model: Any, spec: MeasureSpec, sample: Sample, batch_tokens: int, clock: Clock
) -> list[tuple[str, Rows]]:
    """Return the rows of every model probe, beside its name; of one that fails, a reason in `checkpoints` alone.

    Args:
        model: a causal LM on the device of `spec`, in evaluation mode.
        spec: what is to be measured.
        sample: the windows.
        batch_tokens: padded tokens of a batch at most; where memory is out, a probe begins again with half of them.
        clock: the time is added to the phase of each probe.
    """
    measured: list[tuple[str, Rows]] = []
    for name, probe_class in spec.model_probes.items():
        probe = probe_class(sample, **spec.options.get(name, {}))

        def attempt(size: int, probe: Any = probe, name: str = name) -> Rows:
            with memory_errors(), probe_errors(name):
                rows: Rows = probe.measure(ModelInMemory(model, sample, size, spec.device))
                spec.tables.check_values(name, rows)
                return rows

        try:
            with clock.phase(name):
                rows = halve_batch(attempt, batch_tokens, sample.longest, "--context", lambda _: None)
        except DegenError as error:
            rows = {CHECKPOINTS: [{"reason": f"{name} not measured: {one_line(error)}"}]}
        measured.append((name, rows))
    return measured
