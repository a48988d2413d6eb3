"""Predictions beyond the data are marked, and tokens follow from steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from no_warning import no_warning

from degen import DegenError
from degen.scaling.data_range import beyond
from degen.scaling.fit import FitOptions, LawName, fit
from degen.scaling.read_points import read_points
from degen.stats.bootstrap import Bootstrap

SIZES, STEPS, PER_STEP = (1e7, 3e7, 1e8, 3e8), (100, 300, 1000), 1_000_000


def table(path: Path, columns: str = "params,tokens,loss") -> Path:
    """Losses of the law of Hoffmann et al. with a little noise, of models of four sizes at three numbers of tokens."""
    noise = np.random.default_rng(0)
    lines = [columns]
    for n in SIZES:
        for step in STEPS:
            d = step * PER_STEP
            loss = (406.4 / n**0.34 + 410.7 / d**0.28 + 1.69) * np.exp(0.002 * noise.normal())
            cells = {"model": f"m{n:g}", "params": n, "tokens": d, "step": step, "flops": 6 * n * d, "loss": loss}
            lines.append(",".join(str(cells[name]) for name in columns.split(",")))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"flops": 5.0, "parameters": 3.0}, None),
        ({"flops": 10.0 * (1 + 1e-12), "parameters": 1.0}, None),
        ({"flops": 20.0, "parameters": 40.0}, "parameters × 8"),
        ({"flops": 0.01, "parameters": 40.0}, "flops × 0.01"),
        ({"loss": 1e9}, None),
    ],
)
def test_the_farthest_quantity_is_named(row: dict[str, float], expected: str | None) -> None:
    assert beyond(row, {"flops": (1.0, 10.0), "parameters": (1.0, 5.0)}) == expected


def test_frontier_and_predictions_say_how_far_out_they_are(tmp_path: Path) -> None:
    points = read_points(table(tmp_path / "t.csv"), {}, no_warning)
    asked = [{"C": 1e26}, {"N": 1e8, "D": 5e8}, {"N": 1e6, "D": 5e8}]
    _, result = fit(points, FitOptions(predict=asked, bootstrap=Bootstrap(0)))
    far, within, small = (row["beyond_data"] for row in result.predictions)
    assert far == f"flops × {1e26 / (6 * 3e8 * 1e9):.3g}"
    assert within is None
    assert small == "parameters × 0.1"
    assert {row["flops"]: row["beyond_data"] is None for row in result.frontier}[1e26] is False


def test_kaplan_is_marked_by_its_own_variables(tmp_path: Path) -> None:
    law: LawName = "kaplan"
    points = read_points(table(tmp_path / "t.csv"), {}, no_warning)
    options = FitOptions(law=law, form="ND", predict=[{"N": 3e9, "D": 5e8}], bootstrap=Bootstrap(0))
    _, result = fit(points, options)
    assert [row["beyond_data"] for row in result.predictions] == ["N × 10"]


def test_tokens_follow_from_steps(tmp_path: Path) -> None:
    known = read_points(table(tmp_path / "known.csv"), {}, no_warning)
    steps = table(tmp_path / "steps.csv", "model,params,step,loss")
    points = read_points(steps, {}, no_warning, tokens_per_step=PER_STEP)
    assert points.tokens.tolist() == known.tokens.tolist()
    assert points.flops.tolist() == known.flops.tolist()
    steps.write_text("params,step,tokens,loss\n1e7,10,,3.5\n1e8,10,77,3.4\n1e9,20,,3.3\n")
    assert read_points(steps, {}, no_warning, tokens_per_step=5).tokens.tolist() == [50.0, 77.0, 100.0]


def test_tokens_of_a_step_need_steps(tmp_path: Path) -> None:
    with pytest.raises(
        DegenError,
        match="--tokens-per-step needs a column of steps, and the table has none; name it with --columns steps=",
    ):
        read_points(table(tmp_path / "t.csv"), {}, no_warning, tokens_per_step=5)
    with pytest.raises(DegenError, match="--tokens-per-step 0: must be 1 or more"):
        read_points(table(tmp_path / "s.csv", "params,step,loss"), {}, no_warning, tokens_per_step=0)
