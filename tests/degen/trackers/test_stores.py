"""Runs in wandb (offline), trackio and MLflow, read back from their own stores: every value of the run, once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from degen import Run
from degen.trackers.tracked_series import tracked_series

pytestmark = pytest.mark.extras

READ = {
    "wandb": """
from degen.readers.wandb_log import read_wandb_files
table = read_wandb_files(folder / "wandb", print).table
step = next(name for name in ("_step", "step") if name in table.column_names)
rows = [
    (row[step], {k: v for k, v in row.items() if k.startswith("degen/") and v is not None}) for row in table.to_pylist()
]
""",
    "trackio": """
from trackio.sqlite_storage import SQLiteStorage
rows = [
    (row["step"], {k: v for k, v in row.items() if k.startswith("degen/")})
    for name in SQLiteStorage.get_runs("kept") for row in SQLiteStorage.get_logs("kept", name)
]
""",
    "mlflow": """
from mlflow.tracking import MlflowClient
client = MlflowClient(str(folder / "mlruns"))
experiment = client.get_experiment_by_name("kept").experiment_id
by_step = {}
rows = []
for run in client.search_runs([experiment]):
    for name in run.data.metrics:
        for metric in client.get_metric_history(run.info.run_id, name):
            rows.append((metric.step, {name: metric.value}))
""",
}


def process(folder: Path, *command: str) -> str:
    """Run a script or a command in a process of its own: trackers leave threads and warnings behind."""
    own = {
        "WANDB_MODE": "offline", "WANDB_DIR": str(folder), "TRACKIO_DIR": str(folder / "trackio"),
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, *command], env={**os.environ, **own}, capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def stored(tracker: str, folder: Path) -> dict[tuple[int, str], list[float]]:
    """Return (step, name) -> every value that the store of a tracker holds of it."""
    code = f"import json, pathlib, sys\nfolder = pathlib.Path(sys.argv[1]){READ[tracker]}print(json.dumps(rows))"
    found: dict[tuple[int, str], list[float]] = {}
    for step, row in json.loads(process(folder, "-c", code, str(folder)).splitlines()[-1]):
        for name, value in row.items():
            found.setdefault((step, name), []).append(value)
    return found


@pytest.mark.parametrize(
    ("tracker", "destination"),
    [
        ("wandb", "wandb:project=kept"),
        ("trackio", "trackio:project=kept"),
        ("mlflow", "mlflow:experiment=kept,uri={folder}/mlruns"),
    ],
)
def test_a_store_holds_every_value_once_though_the_run_is_sent_twice(
    tracker: str, destination: str, run: Run, tmp_path: Path
) -> None:
    told: dict[tuple[int, str], Any] = {
        (step, name): [value]
        for series in tracked_series(run) for step, row in series.rows.items() for name, value in row.items()
    }  # fmt: skip
    assert len(told) > 30
    for _ in range(2):
        printed = process(tmp_path, "-m", "degen", "export", str(run.path), "--to", destination.format(folder=tmp_path))
        assert all(line.startswith(f"{tracker}: tiny: ") for line in printed.splitlines())
        assert stored(tracker, tmp_path) == told
