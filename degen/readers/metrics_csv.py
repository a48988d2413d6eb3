"""Folders of `metrics.csv`, as Lightning's and LitGPT's CSVLogger write them: a model for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .csv_log import as_log
from .log_rows import open_log
from .open_table import OpenTable
from .reader import Reader
from .table_file import read_table_file, stem

FILE_NAME = "metrics.csv"


def has_metrics_csv(folder: Path) -> bool:
    """Return whether a folder holds a `metrics.csv`, at any depth."""
    return any(file.is_file() for file in folder.rglob(FILE_NAME))


def read_metrics_csv(folder: Path, warn: Callable[[str], None]) -> OpenTable:
    """Return the logs of every `metrics.csv` in a folder as one table, whose models are the folders that hold them.

    Raises:
        DegenError: a file cannot be read, or has no step.
    """
    import pyarrow as pa

    files = sorted(file for file in folder.rglob(FILE_NAME) if file.is_file())
    tables: list[pa.Table] = []
    left_out: list[str] = []
    for file in files:
        opened = as_log(OpenTable(read_table_file(file), file))
        name = file.parent.relative_to(folder).as_posix()
        label = stem(folder) if name == "." else name
        label = file.parent.resolve().name if len(files) == 1 else label
        table = opened.table
        if "model" not in table.column_names:
            table = table.add_column(0, "model", pa.array([label] * len(table)))
        tables.append(table)
        left_out += opened.left_out
    joined = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    return open_log(joined, folder, "tables of a logger", list(dict.fromkeys(left_out)))


READER = Reader(f"logs called {FILE_NAME}", has_metrics_csv, read_metrics_csv)
