"""The database of a trackio project, written here as trackio writes one; `test_loggers` reads those of the library."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from degen import DegenError
from degen.metrics.find_curves import read_curves
from degen.readers.trackio_log import is_trackio, read_trackio

Call = tuple[str, str, int, str]


def project(path: Path, calls: list[Call]) -> Path:
    """Write a database of calls of `trackio.log`: run, id of the run, step, metrics as JSON."""
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "CREATE TABLE metrics (id INTEGER PRIMARY KEY, timestamp TEXT, run_id TEXT, run_name TEXT, step INTEGER, "
            "metrics TEXT)"
        )
        database.executemany("INSERT INTO metrics (run_name, run_id, step, metrics) VALUES (?, ?, ?, ?)", calls)
        database.commit()
    return path


def calls_of(run: str, identifier: str, losses: list[float]) -> list[Call]:
    return [(run, identifier, 10 * i, json.dumps({"loss": loss})) for i, loss in enumerate(losses)]


def test_each_run_is_a_model_and_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    calls = [*calls_of("a", "1", [3.0, 2.5]), *calls_of("b", "0123456789", [4.0]), *calls_of("b", "2", [5.0, 4.5])]
    path = project(tmp_path / "p.db", calls)
    assert is_trackio(path)
    curves, source = read_curves(path, warn=lambda line: None)
    read = {curve.model: dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True)) for curve in curves}
    assert read == {"a": {0: 3.0, 10: 2.5}, "b (01234567)": {0: 4.0}, "b (2)": {0: 5.0, 10: 4.5}}
    assert source.kind == "trackio project"
    assert source.left_out == ()


def test_rows_that_are_no_objects_are_counted_and_a_project_of_them_alone_is_refused(tmp_path: Path) -> None:
    wrong = [("a", "1", 0, "[1]"), ("a", "1", 5, "{")]
    opened = read_trackio(project(tmp_path / "p.db", [*wrong, *calls_of("a", "1", [3.0])]), print)
    assert opened.left_out == ("2 rows without a JSON object",)
    assert opened.table.to_pylist() == [{"model": "a", "_step": 0, "loss": 3.0}]
    with pytest.raises(DegenError, match=r"q\.db: this trackio project holds no metric; name one with a run"):
        read_trackio(project(tmp_path / "q.db", wrong), print)


def test_databases_of_others_are_none_of_trackio(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("CREATE TABLE metrics (id INTEGER PRIMARY KEY, step INTEGER)")
        database.commit()
    assert not is_trackio(tmp_path / "other.db")
    (tmp_path / "text.db").write_text("metrics")
    assert not is_trackio(tmp_path / "text.db")
