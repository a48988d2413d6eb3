"""Busy: a default scan's pass over a bare `model(ids, labels=ids)`, and the share of the card's own matrix rate."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from unittest import mock

import numpy as np
import torch
from degen.probes.spectrum import Spectrum

from degen.forward.batch_size import batch_tokens_for
from degen.forward.run_pass import run_pass
from degen.model.architecture import describe_module, find_head
from degen.model.flops import forward_flops
from degen.probe import HeadProbe, StreamProbe
from degen.probe_registry import load_probes
from degen.scanning.measure import head_of
from degen.text.windows import Sample, batches

from .machine import Machine
from .record import Part, Row
from .shapes import CONTEXT, PUBLISHED, TINY, Shape, build, random_sample, shortened

WIDEST = 2048

Probes = Mapping[str, StreamProbe]


def parts(machine: Machine) -> list[Part]:
    def part(shape: Shape) -> Part:
        return Part(f"busy.{shape.name}", lambda: _busy(machine, shape))

    return [
        Part("busy.rate", lambda: iter([{"matrix_rate": matrix_rate(machine), "dtype": machine.dtype_name}])),
        *(part(shape) for shape in ((TINY,) if machine.tiny else PUBLISHED)),
    ]


@lru_cache(maxsize=1)
def matrix_rate(machine: Machine) -> float:
    """Return FLOPs a second of a large product of random matrices, the median of a few."""
    size = 256 if machine.tiny else 8192
    torch.manual_seed(0)
    A, B = (torch.randn(size, size, device=machine.device, dtype=machine.dtype) for _ in range(2))

    def ten() -> None:
        for _ in range(10):
            torch.mm(A, B)

    ten()
    return 10 * 2 * size**3 / statistics.median(machine.seconds(ten) for _ in range(5))


def _busy(machine: Machine, shape: Shape) -> Iterator[Row]:
    start = time.perf_counter()
    model = build(shape, machine.device, machine.dtype)
    machine.synchronize()
    built = time.perf_counter() - start
    architecture = describe_module(model)
    sample = random_sample(shape.tokens, architecture.vocab_size)
    measured = _Passes(machine, model, sample, shape.batch_tokens)
    measured.bare()  # warm up: kernels are chosen, the allocator fills
    measured.scanned(default_probes)
    bare, scanned = [], []
    for pair in range(shape.pairs):
        for call, times in ((measured.bare, bare), (measured.default, scanned))[:: 1 if pair % 2 == 0 else -1]:
            times.append(call())
    ratios = [b / a for a, b in zip(bare, scanned, strict=True)]
    flops = sample.tokens * forward_flops(architecture, CONTEXT)
    machine.free()  # a scan chooses its batches before anything else has taken memory
    auto = batch_tokens_for(sample, None, CONTEXT, architecture, machine.device)
    whole = statistics.median(_Passes(machine, model, sample, auto).default() for _ in range(shape.pairs))
    padded = _Passes(machine, model, shortened(sample), shape.batch_tokens)
    padded.default()  # whether a batch may be padded is asked once for each configuration
    yield {
        "model": shape.name, "dtype": machine.dtype_name, "parameters": architecture.parameters,
        "tokens": sample.tokens, "batch_tokens": shape.batch_tokens,
        "bare": statistics.median(bare), "scan": statistics.median(scanned),
        "ratio": statistics.median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios),
        "tokens_a_second": sample.tokens / statistics.median(scanned),
        "share": flops / statistics.median(scanned) / matrix_rate(machine),
        "bare_share": flops / statistics.median(bare) / matrix_rate(machine),
        "auto_batch_tokens": auto, "auto": whole, "auto_share": flops / whole / matrix_rate(machine),
        **measured.by_phase(built), "spectrum": _spectrum(machine, model),
        "synchronisations": measured.synchronisations(), "synchronisations_padded": padded.synchronisations(),
    }  # fmt: skip


def _spectrum(machine: Machine, model: Any) -> float | None:
    """Return seconds of the head's spectrum as in a scan; None for wide heads, which the step `head` measures."""
    if find_head(model).weight.shape[1] > WIDEST:
        return None
    return machine.seconds(lambda: Spectrum().measure(head_of(model, None)))


def default_probes(sample: Sample) -> Probes:
    """Return the stream probes that a scan runs by default."""
    return {name: probe(sample) for name, probe in load_probes(None).items() if not issubclass(probe, HeadProbe)}


class _Passes:
    """A model and the batches that every kind of pass takes through it."""

    def __init__(self, machine: Machine, model: Any, sample: Sample, batch_tokens: int) -> None:
        self._machine = machine
        self._model = model
        self._sample = sample
        self._batch_tokens = batch_tokens
        self.finish = 0.0

    def bare(self) -> float:
        """Return seconds of the model alone, with its loss."""

        def run() -> None:
            with torch.inference_mode():
                for rows in batches(self._sample, self._batch_tokens):
                    ids = np.stack([self._sample.windows[i].tokens for i in rows]).astype(np.int64)
                    device_ids = torch.from_numpy(ids).to(self._machine.device)
                    float(self._model(device_ids, labels=device_ids).loss)

        return self._machine.seconds(run)

    def scanned(self, make: Callable[[Sample], Probes]) -> float:
        """Return seconds of degen's pass with some probes; their finish is measured apart."""
        probes = make(self._sample)

        def run() -> None:
            run_pass(self._model, self._sample, probes, self._batch_tokens, self._machine.device, lambda _: None)

        seconds = self._machine.seconds(run)
        self.finish = self._machine.seconds(lambda: [probe.finish() for probe in probes.values()])
        return seconds

    def default(self) -> float:
        """Return seconds of degen's pass with its default probes."""
        return self.scanned(default_probes)

    def by_phase(self, built: float) -> Row:
        """Return seconds of building, of the pass without and with single probes, and of finishing."""
        finish = self.finish

        def only(name: str | None) -> Callable[[Sample], Probes]:
            return lambda sample: {n: p for n, p in default_probes(sample).items() if n == name}

        passes = {key: self.scanned(only(name)) for key, name in
                  (("no_probes", None), ("loss_alone", "loss"), ("anisotropy_alone", "anisotropy"))}  # fmt: skip
        return {"build": built, **passes, "finish": finish}

    def synchronisations(self) -> float | None:
        """Return how often a batch waits for the device, for events too; None where torch does not count it."""
        if self._machine.device.type != "cuda":
            return None
        wait, events = torch.cuda.Event.synchronize, []

        def counted(event: Any) -> None:
            events.append(event)
            wait(event)

        waiting = mock.patch.object(torch.cuda.Event, "synchronize", counted)
        with warnings.catch_warnings(record=True) as caught, waiting:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                self.default()
            finally:
                torch.cuda.set_sync_debug_mode("default")
        waits = len(events) + sum("called a synchronizing" in str(warning.message) for warning in caught)
        return waits / sum(1 for _ in batches(self._sample, self._batch_tokens))
