"""The loss law on the page, of a run whose losses follow a known one."""

from __future__ import annotations

from pathlib import Path

from made_runs import SIZES, run_of_a_law

import degen
from degen.report.run_data import ReportData
from degen.report.sections import loss_law


def test_the_page_gives_the_law_of_the_larger_models_and_the_gap_of_the_small_one(tmp_path: Path) -> None:
    words, drawing = loss_law.build(ReportData([degen.read_run(run_of_a_law(tmp_path / "run"))]))
    assert "fitted to the 5 larger models: A = 406.4, B = 410.7, E = 1.69, alpha = 0.34, beta = 0.28" in words.text
    law = 1.69 + 406.4 / 1e7**0.34 + 410.7 / (15_000 * 2e6) ** 0.28
    assert f"end {100 * 0.21 / law:.1f} % above it" in words.text
    assert {row["label"] for row in drawing.figure.tables["values"]} == set(SIZES)
