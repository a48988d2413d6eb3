"""Run folders with made-up numbers: as many models, checkpoints and layers as a test wants, in no time."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from degen.probes.anisotropy import Anisotropy
from degen.probes.loss import Loss
from degen.probes.rank import Rank
from degen.probes.spectrum import Spectrum

from degen.tables import SCHEMA_VERSION, Rows, Tables, file_name, write_part

TABLES = Tables({probe.__name__: probe.columns for probe in (Loss, Anisotropy, Spectrum, Rank)})
DOCUMENTS = 40
SIZES = {"small": 1e7, "m1": 1e8, "m2": 2e8, "m3": 4e8, "m4": 8e8, "m5": 1.6e9}  # models of `run_of_a_law`


def make_run(
    folder: Path,
    models: Sequence[str] = ("good", "bad"),
    checkpoints: int = 12,
    layers: int = 3,
    *,
    windows: int = 40,
    width: int = 16,
    ranks: Sequence[int] = (),
    tables: Sequence[str] = ("checkpoints", "layers", "windows", "spectrum", "ranks", "timing"),
) -> Path:
    """Write a run; every second model has a loss, anisotropy and spectrum that turn worse half way.

    Args:
        folder: of the run.
        models: labels.
        checkpoints: of each model, 1,000 steps apart.
        layers: blocks of each model.
        windows: scored windows of a checkpoint.
        width: singular values of the head.
        ranks: ranks at which the head is measured.
        tables: the tables to write.
    """
    for index, model in enumerate(models):
        for i in range(checkpoints):
            rows = _rows(i, checkpoints, turns=index % 2 == 1, layers=layers, windows=windows, width=width, ranks=ranks)
            step = 1000 * i
            for table in tables:
                keyed = [{"model": model, "revision": f"step{step}", "step": step, **row} for row in rows[table]]
                if keyed:
                    path = folder / table / file_name(model) / f"step{step}.parquet"
                    write_part(path, TABLES.schema(table), keyed, {"degen.config_hash": "made"})
    (folder / "run.json").write_text(json.dumps(_info(models, tables, windows)), encoding="utf-8")
    return folder


def run_of_a_law(folder: Path, checkpoints: int = 16) -> Path:
    """Write a run of six models on Hoffmann's law; the smallest ends above it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    run = make_run(folder, ["m1", "small", "m2", "x1", "m3", "x2", "m4", "x3", "m5"], checkpoints)
    for left_out in folder.glob("*/x*"):  # every second model is made to turn; only the small one shall
        shutil.rmtree(left_out)
    for part in folder.glob("checkpoints/*/*.parquet"):
        table = pq.read_table(part)
        size, step = SIZES[part.parent.name], table["step"][0].as_py()
        loss = 1.69 + 406.4 / size**0.34 + 410.7 / (max(step, 1) * 2e6) ** 0.28
        loss += 0.03 * max(0, step - 8000) / 1000 if part.parent.name == "small" else 0.0
        for name, value in (("parameters", int(size)), ("loss", loss)):
            index = table.column_names.index(name)
            table = table.set_column(index, table.schema.field(name), pa.array([value]))
        pq.write_table(table, part)
    return run


def _rows(
    i: int, checkpoints: int, *, turns: bool, layers: int, windows: int, width: int, ranks: Sequence[int]
) -> Rows:
    """Return the rows of a checkpoint by table, without its keys."""
    share = i / max(checkpoints - 1, 1)
    late = max(0.0, share - 0.5) if turns else 0.0
    noise = 0.004 * math.sin(12.9898 * i + 78.233)
    loss = 3.0 + 2.0 * math.exp(-6 * share) + 1.5 * late + noise
    anisotropy = min(0.98, 0.2 + 1.4 * late + 0.1 * math.exp(-9 * share) + noise)
    entropy = 0.8 - 0.1 * share + late + noise
    values = [math.exp(-(0.02 + 0.3 * late) * k) for k in range(width)]
    measured = {
        "status": "ok", "tokens_seen": 2_000_000 * i * 1000, "architecture": "Made", "parameters": 10_000_000,
        "parameters_non_embedding": 8_000_000, "layers": layers, "hidden_size": width, "head_size": width,
        "vocab_size": 512, "vocab_used": 512, "tied": False, "head_sha256": f"{i:064x}",
        "loss": loss, "loss_se": 0.02, "perplexity": math.exp(loss), "tokens_scored": 50_000,
        "anisotropy": anisotropy, "anisotropy_se": 0.004, "anisotropy_across": anisotropy - 0.01,
        "anisotropy_jackknife_min": anisotropy - 0.001, "anisotropy_jackknife_max": anisotropy + 0.001,
        "singular_entropy": entropy, "effective_rank": width / (1 + late),
    }  # fmt: skip
    if ranks:
        measured |= {"bottleneck_rank": ranks[len(ranks) // 2], "bottleneck_rank_low": ranks[0]}
    sites = [(0, "embedding"), *((n, "block") for n in range(1, layers + 1)), (layers, "head_input")]
    return {
        "checkpoints": [measured],
        "layers": [
            {"layer": n, "site": site, "anisotropy": anisotropy * (n + 1) / (layers + 1), "anisotropy_se": 0.004,
             "mean_norm": 10.0 + n} for n, site in sites
        ],
        "windows": [
            {"window": w, "document": w % DOCUMENTS, "domain": ("books", "code")[w % 2], "tokens": 500,
             "loss": loss + 0.3 * math.sin(w)} for w in range(windows)
        ],
        "spectrum": [{"index": k, "singular_value": value} for k, value in enumerate(values)],
        "ranks": [
            {"rank": r, "method": "whitened", "loss": loss + 4 / r, "loss_se": 0.02, "loss_gap": 4 / r,
             "loss_gap_se": 0.01, "perplexity": math.exp(loss + 4 / r), "w_error": math.sqrt(max(0.0, 1 - r / width))}
            for r in ranks
        ],
        "timing": [{"phase": "total", "seconds": 1.5, "peak_rss": 10**9, "device": "cpu", "dtype": "float32"}],
    }  # fmt: skip


def _info(models: Sequence[str], tables: Sequence[str], windows: int) -> dict[str, Any]:
    """Return the content of run.json."""
    asked = {
        "series": list(models),
        "corpus": "made.jsonl",
        "tokens": 50_000,
        "context": 512,
        "seed": 0,
        "steps": "all",
    }
    sample = {"windows": windows, "documents": DOCUMENTS, "tokens": 50_000, "too_short": 0, "sha256": "5a" * 32}
    return {
        "schema_version": SCHEMA_VERSION, "asked": asked, "degen_version": "0.1.0",
        "versions": {"python": "3.11.7", "torch": "2.13.0"}, "models": list(models), "tables": list(tables),
        "sample": {"corpus": "made.jsonl", "windows": {"0" * 16: sample}},
        "resolved": {"probes": ["anisotropy", "loss", "spectrum"], "device": "cpu", "dtype": "float32"},
        "config_hash": "f" * 64,
    }  # fmt: skip
