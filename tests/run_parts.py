"""Parts of a run's tables, written over; tables of two runs, compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import degen


def change(run: Path, table: str, revision: str, **columns: Any) -> None:
    """Write other values into the part of a checkpoint of the model `tiny`; None is null."""
    path = run / table / "tiny" / f"{revision}.parquet"
    part = pq.ParquetFile(path).read()
    for name, value in columns.items():
        i = part.schema.get_field_index(name)
        part = part.set_column(i, part.schema.field(i), pa.array([value] * len(part), part.schema.field(i).type))
    pq.write_table(part, path)


def part_bytes(run: Path) -> dict[str, bytes]:
    """Return the parts of all tables but `timing`, which no two scans have in common, as path in the run -> content."""
    files = {file.relative_to(run).as_posix(): file for file in run.rglob("[!.]*.parquet")}
    return {name: file.read_bytes() for name, file in files.items() if not name.startswith("timing/")}


def assert_equal(run: degen.Run, other: degen.Run) -> None:
    """Hold that two runs have the same tables bit for bit, and the same windows."""
    assert run.tables == other.tables
    for name in run.tables:
        if name != "timing":
            assert run.table(name).equals(other.table(name)), name
    assert (run.path / "sample.parquet").read_bytes() == (other.path / "sample.parquet").read_bytes()
    assert run.info["config_hash"] == other.info["config_hash"]
