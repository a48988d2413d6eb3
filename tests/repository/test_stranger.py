"""The script behind `make stranger`: it notices a figure that is not as stored."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / ".ci" / "stranger.py"))
STORED = json.loads((ROOT / ".ci" / "demo_figures.json").read_text(encoding="utf-8"))


def test_the_stored_figures_are_of_every_checkpoint_of_the_demo() -> None:
    from degen.demo import series_paths

    checkpoints = {(path.name, int(f.name[4:])) for path in series_paths() for f in path.glob("step*")}
    assert {(row["model"], row["step"]) for row in STORED} == checkpoints
    assert all(set(row) == {"model", "step", *SCRIPT["METRICS"]} for row in STORED)


@pytest.mark.parametrize("name", SCRIPT["METRICS"])
def test_a_figure_that_differs_is_named(name: str) -> None:
    assert SCRIPT["differences"](STORED, STORED) == []
    changed = [dict(row) for row in STORED]
    changed[3][name] *= 1 + 3 * SCRIPT["METRICS"][name] + 1e-12
    (difference,) = SCRIPT["differences"](changed, STORED)
    assert difference.startswith(f"{STORED[3]['model']} {STORED[3]['step']}: {name} is ")
    assert SCRIPT["differences"](changed[1:], STORED) == ["other checkpoints than those stored"]
