"""Logs in JSON, recognised by their content: a Trainer's state, a list of records, a record a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from degen.errors import DegenError

from .log_rows import open_log
from .open_table import OpenTable
from .reader import Reader
from .records import Record, counted, records_to_table
from .table_file import read_text

HEAD = 4096  # bytes that show whether a file can be JSON
STATE = "trainer_state.json"
_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")


def is_json_log(path: Path) -> bool:
    """Return whether a file holds a Trainer's state, a list of records or a record a line, whatever its name."""
    if path.name.lower().endswith(_LINES):
        return True
    with path.open("rb") as file:
        head = file.read(HEAD)
    text = head.decode("utf-8-sig", errors="ignore").lstrip()
    if b"\0" in head or text[:1] not in ("{", "["):
        return False
    return bool(_kind_of_content(path))


def read_json_log(path: Path, warn: Callable[[str], None]) -> OpenTable:
    """Return a log in JSON as a table, a row for each record that has a step.

    Args:
        path: the file.
        warn: not called.

    Raises:
        DegenError: the file is damaged, or no record has a step.
    """
    kind, records, left_out = _records(path)
    if not records:
        raise DegenError(f"{path}: this log is empty; name one that has records")
    try:
        table, lists = records_to_table(records)
    except ValueError as error:
        raise DegenError(f"{path}: this is no log of training: {error}") from error
    return open_log(table, path, kind, [*left_out, *lists])


def _records(path: Path) -> tuple[str, list[Record], list[str]]:
    """Return what a file is, its records, and what was left out."""
    text = read_text(path)
    content = None if path.name.lower().endswith(_LINES) else _parsed(text)
    if isinstance(content, dict) and isinstance(content.get("log_history"), list):
        return "Trainer state", [record for record in content["log_history"] if isinstance(record, dict)], []
    if isinstance(content, list):
        return "JSON records", [record for record in content if isinstance(record, dict)], []
    records: list[Record] = []
    damaged = 0
    for parsed in map(_parsed, _lines(text)):
        if isinstance(parsed, dict):
            records.append(parsed)
        else:
            damaged += 1
    return "JSON lines", records, [counted(damaged, "lines without a JSON object")] if damaged else []


def _kind_of_content(path: Path) -> str | None:
    """Return what a file is; None where it is no log."""
    try:
        text = read_text(path)
    except DegenError:
        return None
    content = _parsed(text)
    if isinstance(content, dict):
        return "Trainer state" if isinstance(content.get("log_history"), list) else None
    if isinstance(content, list):
        return "JSON records" if content and all(isinstance(record, dict) for record in content) else None
    first = next(_lines(text), "")
    return "JSON lines" if isinstance(_parsed(first), dict) else None


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.split("\n") if line.strip())


def _parsed(text: str) -> Any:
    """Return the value of a JSON text; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def is_trainer_folder(folder: Path) -> bool:
    """Return whether a folder, or a checkpoint in it, holds the state of a Trainer."""
    return _latest_state(folder) is not None


def read_trainer_folder(folder: Path, warn: Callable[[str], None]) -> OpenTable:
    """Return the log in the latest state of a Trainer in a folder or in its checkpoints; see `read_json_log`."""
    state = _latest_state(folder)
    assert state is not None
    opened = read_json_log(state, warn)
    name = state.relative_to(folder)
    return OpenTable(opened.table, folder, kind=f"Trainer state ({name})", is_log=True, left_out=opened.left_out)


def _latest_state(folder: Path) -> Path | None:
    """Return the state in a folder, else the one of the largest step in the folders in it; None where there is none."""
    if (folder / STATE).is_file():
        return folder / STATE
    states = []
    for state in folder.glob(f"*/{STATE}"):
        try:
            content = _parsed(read_text(state))
        except DegenError:  # one that was being written when its training was killed
            continue
        if isinstance(content, dict) and isinstance(content.get("log_history"), list):
            step = content.get("global_step")
            states.append((step if isinstance(step, int) else -1, state))
    return max(states)[1] if states else None


FILE = Reader("logs in JSON", is_json_log, read_json_log)
FOLDER = Reader("states of a Trainer", is_trainer_folder, read_trainer_folder)
