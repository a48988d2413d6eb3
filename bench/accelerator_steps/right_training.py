"""Right: heads of restricted rank on the device against the CPU, and a training that is watched on the device."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    default_data_collator,
)

import degen
from degen.callbacks import DegenerationCallback, Monitor
from degen.demo import corpus_path, series_paths

from .machine import Machine
from .record import Part, Row, checked, largest

CLOSED, TRAINED = 1e-4, 2e-2  # nats; Adam carries rounding on from step to step
STEPS = 6


def parts(machine: Machine) -> list[Part]:
    return [
        Part("right.rank", lambda: _rank(machine)),
        Part("right.callback", lambda: _callback(machine)),
    ]


def _rank(machine: Machine) -> Iterator[Row]:
    """Yield differences of the loss at every rank and of the W-error; trained heads must have improved."""
    tokens = 2000 if machine.tiny else 8000
    training = {"tokens": 10 * tokens, "windows": 8, "every": 8, "init": "whitened"}
    options: dict[str, Any] = {
        "series": series_paths()[0], "steps": "3000", "tokens": tokens, "context": 128, "probes": ["loss", "rank"],
        "dtype": "float32",
        "options": {"rank": {"ranks": [4, 16], "methods": ["svd", "whitened", "trained"], "training": training}},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for device, size in (("cpu", 2), (str(machine.device), None)):
            run = degen.scan(**options, device=device, batch_size=size, out=Path(folder) / f"{len(rows)}")
            if run.failed:
                raise ValueError(f"on {device}: {run.failed[0]['reason']}")
            rows.append({(r["method"], r["rank"]): r for r in run.table("ranks").to_pylist()})
    on_cpu, on_device = rows
    for method in ("svd", "whitened", "trained"):
        keys = [key for key in on_cpu if key[0] == method]
        tolerance = TRAINED if method == "trained" else CLOSED
        for quantity in ("loss", "w_error"):
            difference = largest(on_cpu[key][quantity] - on_device[key][quantity] for key in keys)
            yield checked(f"rank, {method}", quantity, difference, tolerance)
    gap = float(np.max([on_device["trained", rank]["loss"] - on_device["whitened", rank]["loss"] for rank in (4, 16)]))
    yield checked("rank, trained", "loss above that of whitened", gap, 0.0)


def _examples(tokenizer: Any, count: int = 32, length: int = 32) -> list[dict[str, list[int]]]:
    with gzip.open(corpus_path(), "rt", encoding="utf-8") as lines:
        ids = tokenizer("".join(json.loads(line)["text"] for line in islice(lines, 8)))["input_ids"]
    pieces = [ids[i * length : (i + 1) * length] for i in range(count)]
    return [{"input_ids": piece, "labels": piece} for piece in pieces]


def _callback(machine: Machine) -> Iterator[Row]:
    """Yield differences of a training's last step from a scan of the saved model, and of random states."""
    start = series_paths()[0] / "step500"
    tokenizer = AutoTokenizer.from_pretrained(series_paths()[0])
    measured: dict[str, Any] = {"tokens": 1500, "context": 64, "batch_size": 8, "seed": 3}
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / f"step{STEPS}"
        arguments = TrainingArguments(
            output_dir=str(Path(folder) / "trainer"), max_steps=STEPS, per_device_train_batch_size=4, report_to=[],
            disable_tqdm=True, save_strategy="no", logging_steps=100, seed=0, use_cpu=machine.on_cpu,
            dataloader_pin_memory=False,
        )  # fmt: skip
        callback = DegenerationCallback(corpus="demo", every=STEPS // 2, **measured)
        trainer = Trainer(
            model=AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32), args=arguments,
            train_dataset=_examples(tokenizer), data_collator=default_data_collator, processing_class=tokenizer,
            callbacks=[callback],
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        measured_logs = [logs for logs in trainer.state.log_history if "degen/loss" in logs]
        if [logs["step"] for logs in measured_logs] != [STEPS // 2, STEPS]:
            raise ValueError(f"the callback told of steps {[logs['step'] for logs in measured_logs]}")
        if trainer.model.device.type != machine.device.type:
            raise ValueError(f"trained on {trainer.model.device}")
        before = machine.random_states()
        Monitor(tokenizer, corpus="demo", **measured).measure(trainer.model)
        moved = sum(not torch.equal(a, b) for a, b in zip(before, machine.random_states(), strict=True))
        trainer.model.save_pretrained(saved)
        run = degen.scan(
            saved, tokenizer=series_paths()[0], corpus="demo", dtype="float32", device=str(machine.device),
            out=Path(folder) / "run", **measured,
        )  # fmt: skip
        (row,) = run.checkpoints()
    for quantity in ("loss", "anisotropy", "singular_entropy"):
        yield checked("callback", quantity, abs(measured_logs[-1][f"degen/{quantity}"] - row[quantity]), 1e-6)
    yield checked("callback", "random states moved", float(moved), 0.0)
