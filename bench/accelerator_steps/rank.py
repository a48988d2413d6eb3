"""Rank: what training six heads of restricted rank costs at the shape of Pythia-410M."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from degen.forward.batch_size import auto_batch_tokens
from degen.forward.head_inputs import ModelHeadInputs
from degen.model.architecture import describe_module
from degen.model.logit_transform import LogitTransform
from degen.probe import HeadInputs, OutputHead
from degen.rank.trained_head import TrainedHead
from degen.rank.training import Training

from .machine import Machine
from .record import Part, Row
from .shapes import CONTEXT, PYTHIA_410M, TINY, build, random_windows

RANKS = (32, 64, 128, 256, 512, 1024)
WINDOWS = 256  # a step's, as `degen rank` takes them
SAMPLE = 98 * CONTEXT  # tokens that a scan passes, and so the largest batch
PAPER = 150_000_000  # tokens that arXiv 2404.07647 trains on


def parts(machine: Machine) -> list[Part]:
    return [Part("rank.trained", lambda: _trained(machine))]


def _trained(machine: Machine) -> Iterator[Row]:
    shape, ranks, count, steps = PYTHIA_410M, RANKS, WINDOWS, 3
    if machine.tiny:
        shape, ranks, count, steps = TINY, (1, 2, 4, 8, 16, 32), 4, 2
    model = build(shape, machine.device, machine.dtype)
    architecture = describe_module(model)
    windows = random_windows(count * CONTEXT, architecture.vocab_size)
    output = model.get_output_embeddings()
    head = OutputHead(output.weight.detach(), getattr(output, "bias", None), LogitTransform())
    batch_tokens = min(auto_batch_tokens(architecture, CONTEXT, machine.device), count * CONTEXT, SAMPLE)
    inputs = ModelHeadInputs(model, batch_tokens, machine.device)
    seconds: list[float] = []

    def train() -> None:
        training = Training(head, [TrainedHead.random(rank, head, 0) for rank in ranks])
        training.step(inputs.of(windows[: max(count // 8, 1)]), windows[: max(count // 8, 1)])  # warm up
        for _ in range(steps):
            seconds.append(machine.seconds(lambda: training.step(inputs.of(windows), windows)))

    peak = machine.peak_above(train)
    frozen = statistics.median(machine.seconds(lambda: _passed(inputs, windows)) for _ in range(2))
    step = statistics.median(seconds)
    rate = count * CONTEXT / step
    yield {
        "model": shape.name, "ranks": list(ranks), "tokens_a_step": count * CONTEXT, "batch_tokens": batch_tokens,
        "step": step, "frozen": frozen, "tokens_a_second": rate, "hours": PAPER / rate / 3600, "peak_bytes": peak,
    }  # fmt: skip


def _passed(inputs: HeadInputs, windows: Any) -> int:
    """Run the frozen pass alone; return its number of targets."""
    return sum(len(part.targets) for part in inputs.of(windows))
