"""Memory: what a pass takes beyond the model, and a batch that does not fit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import degen
from degen.demo import series_paths
from degen.forward.batch_size import auto_batch_tokens
from degen.forward.run_pass import run_pass
from degen.model.architecture import describe_module

from .busy import default_probes
from .machine import Machine
from .record import Part, Row
from .shapes import CONTEXT, PYTHIA_70M, PYTHIA_410M, TINY, build, random_sample

BATCH = 4096  # tokens
IMPOSSIBLE = 1 << 50  # bytes


def parts(machine: Machine) -> list[Part]:
    return [
        Part("memory.peak", lambda: _peak(machine)),
        Part("memory.halving", lambda: _halving(machine)),
    ]


def _peak(machine: Machine) -> Iterator[Row]:
    """Yield the peak for batches of one size, which must not grow with the tokens, and of the automatic size."""
    shape = TINY if machine.tiny else PYTHIA_410M
    counts = (1024, 2048) if machine.tiny else (5_120, 50_176)
    model = build(shape, machine.device, machine.dtype)
    architecture = describe_module(model)
    fits = auto_batch_tokens(architecture, CONTEXT, machine.device)
    for kind, size in ((f"{BATCH}", BATCH), ("automatic", fits)):
        for tokens in counts:
            sample = random_sample(tokens, architecture.vocab_size)
            batch_tokens = min(size, sample.tokens)

            def run(sample: Any = sample, batch_tokens: int = batch_tokens) -> None:
                run_pass(model, sample, default_probes(sample), batch_tokens, machine.device, lambda _: None)

            run()
            yield {
                "model": shape.name, "batch": kind, "batch_tokens": batch_tokens, "would_fit": fits, "tokens": tokens,
                "peak_bytes": machine.peak_above(run),
            }  # fmt: skip


def _halving(machine: Machine) -> Iterator[Row]:
    """Yield whether a scan whose first batch is refused goes on with smaller ones, and measures the same."""
    shape, tokens = (TINY, 4096) if machine.tiny else (PYTHIA_70M, 50_000)
    with tempfile.TemporaryDirectory() as folder:
        model = build(shape, machine.device, machine.dtype)
        size = sum(p.numel() * p.element_size() for p in model.parameters())
        model.save_pretrained(Path(folder) / "model")
        del model

        def scan(name: str) -> tuple[Row, int]:
            run = degen.scan(
                Path(folder) / "model", tokenizer=series_paths()[0], corpus="demo", tokens=tokens, context=CONTEXT,
                batch_size=1000, probes=["loss", "anisotropy"], device=str(machine.device), dtype=machine.dtype_name,
                out=Path(folder) / name,
            )  # fmt: skip
            return run.checkpoints()[0], list(run.info["batch_tokens"].values())[-1]

        scans: list[tuple[Row, int]] = []
        peak = machine.peak_above(lambda: scans.append(scan("free")))
        with _refusing(machine, size, peak) as refused_by:
            scans.append(scan("limited"))
    (free, requested), (limited, used) = scans
    done = free["status"] == limited["status"] == "ok"
    apart = max(abs(free[name] - limited[name]) for name in ("loss", "anisotropy")) if done else None
    yield {
        "model": shape.name, "refused_by": refused_by, "asked": requested, "used": used, "difference": apart,
        "said": free["reason"] or limited["reason"], "ok": apart is not None and used < requested and apart < 1e-2,
    }  # fmt: skip


@contextmanager
def _refusing(machine: Machine, model_bytes: int, peak: int | None) -> Iterator[str]:
    """Let the device have less memory than the batch takes; where it has no such limit, ask for the impossible."""
    api = machine.api
    machine.free()
    if machine.device.type in ("cuda", "xpu") and peak and hasattr(api, "set_per_process_memory_fraction"):
        total = api.get_device_properties(machine.device).total_memory
        allowed = int(api.memory_allocated()) + model_bytes + (peak - model_bytes) * 0.4
        api.set_per_process_memory_fraction(allowed / total)
        try:
            yield "the allocator's limit"
        finally:
            api.set_per_process_memory_fraction(1.0)
            machine.free()
        return

    def ask(module: Any, args: tuple[Any, ...]) -> None:
        ids = next((a for a in args if isinstance(a, torch.Tensor)), None)
        if type(module).__name__ == "Embedding" and ids is not None and ids.numel() > 1024:
            torch.empty(IMPOSSIBLE, dtype=torch.uint8, device=ids.device)

    handle = torch.nn.modules.module.register_module_forward_pre_hook(ask)
    try:
        yield "a request that nothing can meet"
    finally:
        handle.remove()
