"""Parts of a run's tables, written over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def change(run: Path, table: str, revision: str, **columns: Any) -> None:
    """Write other values into the part of a checkpoint of the model `tiny`; None is null."""
    path = run / table / "tiny" / f"{revision}.parquet"
    part = pq.ParquetFile(path).read()
    for name, value in columns.items():
        i = part.schema.get_field_index(name)
        part = part.set_column(i, part.schema.field(i), pa.array([value] * len(part), part.schema.field(i).type))
    pq.write_table(part, path)
