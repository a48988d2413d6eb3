"""Figures of the paper: published curves beside those of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_runs import make_run

import degen
from degen.report.papers import paper_figures
from degen.report.run_data import ReportData


@pytest.mark.parametrize(
    ("checkpoints", "published", "logarithmic"), [(4, True, True), (4, False, False), (20, True, False)]
)
def test_a_run_much_shorter_than_the_published_ones_is_not_squeezed_against_the_axis(
    tmp_path: Path, checkpoints: int, published: bool, logarithmic: bool
) -> None:
    run = degen.read_run(make_run(tmp_path / "run", ("good",), checkpoints, 2, windows=4))
    figures, missing = paper_figures("godey2024", ReportData([run]), published=published)
    drawn = {figure.name: json.dumps(figure.spec) for figure in figures}
    assert [name for name, spec in drawn.items() if "symlog" in spec] == (
        ["figure-1a", "figure-3a", "figure-3b", "figure-5"] if logarithmic else []
    )
    assert ("figure-1b-published" in drawn) is published
    assert missing == ["1b", "6", "7"]  # one size has no law, whatever is published
