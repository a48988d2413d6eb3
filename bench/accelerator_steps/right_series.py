"""Right: the demo series on the device against the CPU, and a scan that was cut against one that was not."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import degen
from degen.demo import series_paths
from degen.runs.run import Run
from degen.scanning.progress import Progress

from .machine import Machine
from .record import Part, Row, checked, largest

TOLERANCES = {"loss": 1e-4, "anisotropy": 1e-4, "singular values": 1e-9}
CHEAP = {"tokens": 1500, "context": 128}


def parts(machine: Machine) -> list[Part]:
    return [
        Part("right.demo", lambda: _demo(machine)),
        Part("right.continued", lambda: _continued(machine)),
    ]


def _demo(machine: Machine) -> Iterator[Row]:
    """Yield differences of loss, anisotropy and the spectrum over all checkpoints; the CPU takes smaller batches."""
    options: dict[str, Any] = {"dtype": "float32", "tokens": 20_000}
    if machine.tiny:
        options |= {**CHEAP, "steps": "3000"}
    with tempfile.TemporaryDirectory() as folder:
        on_cpu = degen.scan(**options, device="cpu", batch_size=2, out=Path(folder) / "cpu")
        on_device = degen.scan(**options, device=str(machine.device), out=Path(folder) / "device")
        for quantity, difference in _apart(on_cpu, on_device).items():
            yield checked("demo series", quantity, difference, TOLERANCES[quantity])


def _apart(on_cpu: Run, on_device: Run) -> dict[str, float]:
    """Return the largest difference of each figure; singular values against the largest one of their checkpoint."""

    def column(run: Run, table: str, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.asarray(run.table(table)[name].to_pylist(), dtype=np.float64)  # a null becomes NaN, and fails

    def apart(table: str, name: str) -> list[float]:
        return list(column(on_cpu, table, name) - column(on_device, table, name))

    values, others = (column(run, "spectrum", "singular_value") for run in (on_cpu, on_device))
    width = int(column(on_cpu, "spectrum", "index").max()) + 1
    top = values.reshape(-1, width)[:, :1]
    return {
        "loss": largest(apart("checkpoints", "loss") + apart("windows", "loss")),
        "anisotropy": largest(apart("checkpoints", "anisotropy") + apart("layers", "anisotropy")),
        "singular values": largest(((values - others).reshape(-1, width) / top).flat),
    }


class CutError(BaseException):
    """Stops a scan as an interrupt from the keyboard does."""


class _Cutting(Progress):
    """Cuts a scan in the middle of its second checkpoint, or of a head's training."""

    def __init__(self, in_training: bool) -> None:
        self._in_training = in_training
        self._checkpoints = self._validations = 0

    def start_checkpoint(self, checkpoint: Any, tokens: int) -> None:
        self._checkpoints += 1

    def advance(self, tokens: int) -> None:
        if self._checkpoints == 2 and not self._in_training:
            raise CutError

    def report_training(self, text: str, done: int, total: int) -> None:
        self._validations += 1
        if self._validations == 2 and self._in_training:
            raise CutError


def _continued(machine: Machine) -> Iterator[Row]:
    """Yield how many cells, of all tables but `timing`, differ after a scan was cut and continued."""
    tokens = 1500 if machine.tiny else 8000
    scan: dict[str, Any] = {
        "series": series_paths()[0], "steps": "500,3000", "tokens": tokens, "context": 128, "batch_size": 4,
        "device": str(machine.device), "dtype": "float32",
    }  # fmt: skip
    training = {"tokens": tokens, "windows": 4, "every": 1}
    trained = scan | {
        "steps": "3000", "probes": ["loss", "rank"],
        "options": {"rank": {"ranks": [4, 16], "methods": ["whitened", "trained"], "training": training}},
    }  # fmt: skip
    for name, options in {"scan": scan, "training of heads": trained}.items():
        with tempfile.TemporaryDirectory() as folder:
            whole = degen.scan(**options, out=Path(folder) / "whole")
            try:
                degen.scan(**options, out=Path(folder) / "cut", progress=_Cutting(name != "scan"))
                raise ValueError("the scan was not cut")
            except CutError:
                again = degen.scan(**options, out=Path(folder) / "cut")
            cells = _cells_apart(whole, again)
        yield checked(f"cut {name}", "cells that differ", float(cells), 0.0)


def _cells_apart(first: Run, second: Run) -> int:
    """Count the cells that differ, of all tables but `timing`."""
    if first.tables != second.tables or first.failed or second.failed:
        raise ValueError(f"tables {first.tables} and {second.tables}; failed: {first.failed or second.failed}")
    count = 0
    for name in first.tables:
        if name == "timing":
            continue
        a, b = first.table(name), second.table(name)
        if a.schema != b.schema or len(a) != len(b):
            raise ValueError(f"table {name} has another shape")
        for column in a.column_names:
            pairs = zip(a[column].to_pylist(), b[column].to_pylist(), strict=True)
            count += sum(x != y and not (x != x and y != y) for x, y in pairs)
    return count
