"""Runs that earlier versions wrote, kept as they were: every command reads them, and a scan says the way out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from faults.command import degen

from degen import read_run

KEPT = Path(__file__).parent / "data"
SCHEMAS = sorted(folder.name for folder in KEPT.iterdir())


@pytest.fixture(params=SCHEMAS)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(KEPT / request.param, tmp_path / "run"))


def stored(run: Path, table: str) -> list[dict[str, object]]:
    """The rows of a table as the parts hold them, by Arrow alone."""
    rows: list[dict[str, object]] = ds.dataset(run / table, format="parquet").to_table().to_pylist()
    return rows


def test_every_value_is_read_as_it_was_written(kept: Path) -> None:
    run = read_run(kept)
    assert {"checkpoints", "layers", "ranks", "spectrum", "timing", "windows"} <= set(run.tables)
    for name in run.tables:
        of_parts = sorted(str(sorted(row.items(), key=str)) for row in stored(kept, name))
        columns = set(stored(kept, name)[0])
        read = [{key: row[key] for key in row if key in columns} for row in run.table(name).to_pylist()]
        assert sorted(str(sorted(row.items(), key=str)) for row in read) == of_parts
    assert len(run.checkpoints()) == 6


def test_every_command_takes_them(kept: Path, tmp_path: Path) -> None:
    last = next(row for row in stored(kept, "checkpoints") if row["step"] == 500)
    shown = degen("show", kept, "--json").json()
    assert next(row for row in shown["rows"] if row["step"] == 500)["loss"] == last["loss"]
    verdicts = degen("saturation", kept, "--json").json()["rows"]
    assert next(row for row in verdicts if row["metric"] == "loss")["final_value"] == last["loss"]
    assert degen("gate", kept, "--rule", f"loss < {float(str(last['loss'])) + 0.1}").code == 0
    assert degen("gate", kept, "--rule", f"loss < {float(str(last['loss'])) - 0.1}").code == 1
    assert degen("gate", kept, "--rule", "anisotropy[layer=all] < 2", "--confidence", "0.9").code == 0
    files = tmp_path / "layers.csv", tmp_path / "layers.json"
    assert degen("export", kept, "--to", files[0], "--out", files[1], "--table", "layers").code == 0
    assert all(file.is_file() for file in files)
    assert len((tmp_path / "layers.csv").read_text().splitlines()) == len(stored(kept, "layers")) + 1
    assert degen("report", kept, "-o", tmp_path / "page.html").code == 0
    assert (tmp_path / "page.html").stat().st_size > 100_000
    assert degen("compare", kept, kept, "--json").json()["rows"]


def test_a_scan_does_not_mix_versions_and_says_what_to_do(kept: Path, series: Path, corpus: Path) -> None:
    before = {p: p.read_bytes() for p in kept.rglob("*.parquet")}
    result = degen("scan", series, "--corpus", corpus, "--tokens", "600", "--context", "32", "--out", kept)
    assert result.code == 2
    assert "choose another --out, or --fresh" in result.message
    assert {p: p.read_bytes() for p in kept.rglob("*.parquet")} == before
