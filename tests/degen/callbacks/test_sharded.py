"""Two processes train a model that is divided among them: measured together, and as if nothing was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from trainings import MEASURED

import degen

TESTS = Path(__file__).parents[2]
KINDS = ("fsdp1", "fsdp2", "columns")
SETTINGS = MEASURED | {"tokens": 600}
PROBES = ("loss", "anisotropy", "spectrum", "massive_activations", "isotropy")


@pytest.fixture(scope="module")
def trained(series: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which two processes left what each kind of training ended with."""
    folder = tmp_path_factory.mktemp("sharded")
    settings = json.dumps(SETTINGS | {"probes": PROBES})
    script = [str(TESTS / "sharded_training.py"), *map(str, (folder, series, corpus)), settings, *KINDS]
    launch = [sys.executable, str(TESTS / "two_processes.py"), *script]
    done = subprocess.run(launch, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_all_processes_stop_alike_and_none_waits_for_one_that_failed(trained: Path) -> None:
    main, other = (json.loads((trained / f"stopped{rank}.json").read_text()) for rank in (0, 1))
    assert [main["when full"], main["when broken"]] == [False, True]
    assert [other["when full"], other["when broken"]] == [False, True]
    assert (main["history"], other["history"]) == (2, 0)
    assert "holds the measurements of an earlier training" in main["refused"]
    assert other["refused"] == f"the main process cannot go on: {main['refused']}"


@pytest.mark.parametrize("rank", [0, 1])
def test_rows_are_gathered_from_uneven_parts(trained: Path, rank: int) -> None:
    assert json.loads((trained / f"gathered{rank}.json").read_text()) == []


def left_by(trained: Path, kind: str, name: str) -> Any:
    import torch

    return torch.load(trained / kind / f"{name}.pt", weights_only=True)


def same(one: Any, other: Any) -> bool:
    """Return whether two nested values are equal, tensors to the bit."""
    import torch

    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_training_ends_as_without_measurements(trained: Path, kind: str, rank: int) -> None:
    measured, plain = (left_by(trained, kind, f"{name}{rank}") for name in ("measured", "plain"))
    assert len(measured.pop("reports")) == 2
    assert plain.pop("reports") == []
    for name in plain:
        assert same(measured[name], plain[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_those_of_a_scan_of_the_saved_model(trained: Path, corpus: Path, kind: str) -> None:
    first, second = (left_by(trained, kind, f"measured{rank}")["reports"] for rank in (0, 1))
    assert first == second
    assert [report["failed"] for report in first] == [None] * 2
    out = trained / kind / "scanned"
    scanned = degen.scan(trained / kind / "saved", corpus=str(corpus), probes=PROBES, out=out, **SETTINGS)  # type: ignore[arg-type]
    kept = degen.read_run(trained / kind / "run")
    assert set(kept.tables) == set(scanned.tables)
    for table in sorted(set(scanned.tables) - {"timing"}):
        rows = [row for row in kept.table(table).to_pylist() if row["step"] == 4]
        expected = [row | {"model": "model"} for row in scanned.table(table).to_pylist()]
        assert rows == expected, table
