"""The same scan gives the same numbers: again, with other threads and batches, and under a clock that jumps."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import degen

STATES = (
    "common_mode", "isoscore", "massive_activations", "outlier_dimensions", "participation_ratio", "rankme",
    "self_similarity", "state_spectrum", "two_nn",
)  # fmt: skip
PROBES = (
    "loss", "anisotropy", *STATES, "spectrum", "head_spectra", "head_tail", "head_frequency", "isotropy",
    "unargmaxable", "rank", "weights", "lens", "sinks", "fragility",
)  # fmt: skip
SCAN: dict[str, Any] = {
    "tokens": 1200, "context": 64, "probes": PROBES, "options": {"rank": {"ranks": [2, 8]}},
}  # fmt: skip


def scan(series: Path, out: Path, **options: Any) -> dict[str, pa.Table]:
    run = degen.scan(series, out=out, **SCAN | {"threads": 1, "batch_size": 4} | options)
    assert [row["status"] for row in run.checkpoints()] == ["ok"]
    return {name: run.table(name) for name in sorted(run.tables) if name != "timing"}


@pytest.fixture(scope="module")
def one(series: Path) -> Path:
    """Return one checkpoint with its tokenizer beside it."""
    return series / "step100"


@pytest.fixture(scope="module")
def expected(one: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, pa.Table]]:
    """Return a run folder and its tables."""
    out = tmp_path_factory.mktemp("expected") / "run"
    return out, scan(one, out, corpus=corpus)


def check_alike(tables: dict[str, pa.Table], expected: dict[str, pa.Table], relative: float) -> None:
    """Check that all values are equal to a tolerance, and all else, rows and columns among it, exactly."""
    assert tables.keys() == expected.keys()
    for name, table in tables.items():
        assert table.schema == expected[name].schema
        rows = zip(table.to_pylist(), expected[name].to_pylist(), strict=True)
        for (row, other), column in itertools.product(rows, table.column_names):
            if isinstance(row[column], float) and isinstance(other[column], float):
                assert row[column] == pytest.approx(other[column], rel=relative, abs=relative), (name, column)
            else:
                assert row[column] == other[column], (name, column)


def test_the_same_command_gives_the_same_bits(
    one: Path, corpus: Path, expected: tuple[Path, dict[str, pa.Table]], tmp_path: Path
) -> None:
    check_alike(scan(one, tmp_path / "run", corpus=corpus), expected[1], 0.0)


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 64}, {"threads": 2}])
def test_batches_and_threads_change_no_value_by_more_than_rounding(
    one: Path, corpus: Path, expected: tuple[Path, dict[str, pa.Table]], tmp_path: Path, options: dict[str, int]
) -> None:
    check_alike(scan(one, tmp_path / "run", corpus=corpus, **options), expected[1], 1e-6)


def test_a_clock_that_jumps_changes_nothing(
    one: Path,
    corpus: Path,
    expected: tuple[Path, dict[str, pa.Table]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jumps, real = itertools.cycle((0, -86_400, 40 * 365 * 86_400, -3_600)), time.time
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    tables = scan(one, tmp_path / "run", corpus=corpus)
    monkeypatch.undo()
    check_alike(tables, expected[1], 0.0)
    timing = pq.read_table(tmp_path / "run" / "timing").to_pydict()
    assert all(seconds >= 0 for seconds in timing["seconds"])
    assert degen.scan(one, corpus=corpus, out=tmp_path / "run", **SCAN, threads=1, batch_size=4).checkpoints()
