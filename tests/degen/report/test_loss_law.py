"""The loss law on the page, of a run whose losses follow a known one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from made_runs import make_run

import degen
from degen.report.run_data import ReportData
from degen.report.sections import loss_law

SIZES = {"small": 1e7, "m1": 1e8, "m2": 2e8, "m3": 4e8, "m4": 8e8, "m5": 1.6e9}


def run_of_a_law(folder: Path) -> Path:
    """Write a run of six models on Hoffmann's law; the smallest ends above it."""
    run = make_run(folder, ["m1", "small", "m2", "x1", "m3", "x2", "m4", "x3", "m5"], checkpoints=16)
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


def test_the_page_gives_the_law_of_the_larger_models_and_the_gap_of_the_small_one(tmp_path: Path) -> None:
    words, drawing = loss_law.build(ReportData([degen.read_run(run_of_a_law(tmp_path / "run"))]))
    assert "fitted to the 5 larger models: A = 406.4, B = 410.7, E = 1.69, alpha = 0.34, beta = 0.28" in words.text
    law = 1.69 + 406.4 / 1e7**0.34 + 410.7 / (15_000 * 2e6) ** 0.28
    assert f"end {100 * 0.21 / law:.1f} % above it" in words.text
    assert {row["label"] for row in drawing.figure.tables["values"]} == set(SIZES)
