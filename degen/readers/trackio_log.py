"""The database of a trackio project: a run becomes a model, the names of its metrics columns."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from degen.errors import DegenError

from .log_rows import open_log
from .open_table import OpenTable
from .reader import Reader
from .records import counted, records_to_table

_MAGIC = b"SQLite format 3\0"
_COLUMNS = {"run_name", "step", "metrics"}


def is_trackio(path: Path) -> bool:
    """Return whether a file is an SQLite database with a table of metrics as trackio writes it."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return False
    try:
        with closing(_connect(path)) as database:
            return _columns(database) >= _COLUMNS
    except sqlite3.Error:
        return False


def read_trackio(path: Path, warn: Callable[[str], None]) -> OpenTable:
    """Return the metrics of a trackio project as a table, a row for each call of `trackio.log`.

    Runs of one name that trackio tells apart are called `name (id)`.

    Args:
        path: the database, `~/.cache/huggingface/trackio/PROJECT.db`.
        warn: not called.

    Raises:
        DegenError: the database is damaged, or holds no metric.
    """
    try:
        with closing(_connect(path)) as database:
            run_id = "run_id" if "run_id" in _columns(database) else "run_name"
            query = f"SELECT run_name, {run_id}, step, metrics FROM metrics ORDER BY id"
            found = database.execute(query).fetchall()
    except sqlite3.Error as error:
        raise DegenError(f"{path}: this database cannot be read ({error}); copy it again") from error
    ids: dict[str, set[str]] = {}
    for name, identifier, *_ in found:
        ids.setdefault(name, set()).add(identifier)
    records: list[dict[str, Any]] = []
    damaged = 0
    for name, identifier, step, text in found:
        try:
            metrics = json.loads(text)
        except ValueError:
            metrics = None
        if isinstance(metrics, dict):
            model = name if len(ids[name]) == 1 else f"{name} ({str(identifier)[:8]})"
            records.append({"model": model, "_step": step, **metrics})
        else:
            damaged += 1
    if not records:
        raise DegenError(f"{path}: this trackio project holds no metric; name one with a run")
    table, lists = records_to_table(records)
    left_out = [counted(damaged, "rows without a JSON object")] if damaged else []
    return open_log(table, path, "trackio project", [*left_out, *lists])


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _columns(database: sqlite3.Connection) -> set[str]:
    return {row[1] for row in database.execute("PRAGMA table_info(metrics)")}


READER = Reader("projects of trackio", is_trackio, read_trackio)
