"""Right: a scan of tiny models on the device against their twins in float64 on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

import degen

from .machine import Machine
from .record import Part, Row, checked, largest
from .tiny_models import FAMILIES, TOKENIZER, make_checkpoint, make_corpus
from .twin import Twin

# The largest differences that rounding explains, by the dtype of the pass. The twin has the same rounded weights, so
# this is arithmetic alone. The head is decomposed in float64 whatever the dtype.
TOLERANCES = {
    "float32": {"loss": 1e-5, "window loss": 3e-5, "anisotropy": 5e-6, "mean norm": 1e-5, "singular values": 1e-9},
    "bfloat16": {"loss": 1e-2, "window loss": 1e-1, "anisotropy": 5e-3, "mean norm": 1e-2, "singular values": 1e-9},
    "float16": {"loss": 1e-3, "window loss": 2e-2, "anisotropy": 1e-3, "mean norm": 2e-3, "singular values": 1e-9},
}
FEW = ("pythia", "gemma2", "mixtral", "mamba")  # in half precision, where a minute must do for all

Tables = dict[str, list[Row]]


def parts(machine: Machine, models: Sequence[str], dtypes: Sequence[str]) -> list[Part]:
    """Return one part for each dtype."""

    def part(dtype: str) -> Part:
        chosen = models or (FEW if machine.tiny and dtype != "float32" else tuple(FAMILIES))
        return Part(f"right.models.{dtype}", lambda: _models(machine, chosen, dtype))

    return [part(dtype) for dtype in dtypes or TOLERANCES]


def _models(machine: Machine, names: Sequence[str], dtype: str) -> Iterator[Row]:
    """Scan them in one run; then a row for every model and figure."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in names:
            make_checkpoint(root / name, FAMILIES[name], getattr(torch, dtype))
        run = degen.scan(
            [f"{name}={root / name}" for name in names], corpus=make_corpus(root / "corpus.jsonl"), tokens=401,
            context=48, batch_size=4, tokenizer=TOKENIZER, device=str(machine.device), dtype=dtype, out=root / "run",
        )  # fmt: skip
        windows = pq.read_table(run.path / "sample.parquet").to_pylist()
        tables = {table: run.table(table).to_pylist() for table in run.tables}
        for name in names:
            of_model = {table: [row for row in rows if row["model"] == name] for table, rows in tables.items()}
            yield from _compared(of_model, name, dtype, root / name, windows)


def _compared(tables: Tables, name: str, dtype: str, folder: Path, windows: list[Any]) -> Iterator[Row]:
    (checkpoint,) = tables["checkpoints"]
    if checkpoint["status"] != "ok":
        yield {"check": name, "dtype": dtype, "what": "scan", "ok": False, "said": checkpoint["reason"]}
        return
    for quantity, difference in _differences(tables, Twin(folder, FAMILIES[name], windows)).items():
        yield checked(name, quantity, difference, TOLERANCES[dtype][quantity], dtype)


def _differences(tables: Tables, twin: Twin) -> dict[str, float]:
    """Return the largest difference of each figure, over windows and sites."""
    cosines, norms = [], []
    layers = {(row["layer"], row["site"]): row for row in tables["layers"]}
    if layers.keys() != twin.states.keys():
        raise ValueError(f"the scan has the places {sorted(layers)}, the twin {sorted(twin.states)}")
    for site, row in layers.items():
        measured = [row[column] for column in ("anisotropy", "anisotropy_within", "anisotropy_across")]
        cosines += [a - b for a, b in zip(measured, twin.anisotropy(site), strict=True)]
        norms.append(row["mean_norm"] / twin.mean_norm(site) - 1)
    losses = [row["loss"] - measured.mean() for row, measured in zip(tables["windows"], twin.losses, strict=True)]
    values, expected = np.asarray([row["singular_value"] for row in tables["spectrum"]]), twin.singular_values
    return {
        "loss": abs(tables["checkpoints"][0]["loss"] - twin.loss),
        "window loss": largest(losses),
        "anisotropy": largest(cosines),
        "mean norm": largest(norms),
        "singular values": largest((values - expected) / expected[0]),
    }
