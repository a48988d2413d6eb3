"""Open a run, a table, a folder of Parquet parts, a log of training or results of evaluations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from degen.errors import DegenError
from degen.paths import expand_user
from degen.readers.csv_log import as_log
from degen.readers.open_table import OpenTable
from degen.readers.registry import RESULTS, find_reader, kinds_of_folders
from degen.readers.table_file import has_parts, read_table_file
from degen.runs.run import Run, read_run
from degen.runs.run_file import is_run
from degen.stores.urls import url_of
from degen.tables import CHECKPOINTS, TIMING


def open_target(path: Path, warn: Callable[[str], None], only_tables: bool = False) -> Run | OpenTable:
    """Open a run, a table, a log or results.

    Args:
        path: a run folder or the URL of a run, the folder of one of its tables, a CSV or Parquet file, a folder of
            Parquet parts, or what one of the readers in `degen.readers.registry` recognises.
        warn: called with each line of warning.
        only_tables: whether logs and results are refused.

    Returns:
        The run, where the path is a run folder or that of its table `checkpoints`; for any other path a table.

    Raises:
        DegenError: the path does not exist, or holds none of these.
    """
    if url_of(path) is not None:
        return read_run(path)
    path = expand_user(path)
    try:
        run = _open_run(path) if path.is_dir() else None
        if run is not None:
            return run
        reader = None if only_tables else find_reader(path)
        if reader is not None:
            return reader.read(path, warn)
        if path.suffix == ".json" and path.exists() and not only_tables:
            raise DegenError(
                f"{path}: this JSON file holds neither a log of training nor {RESULTS}; name one that does, or a table"
            )
        if path.is_dir() and not only_tables and not has_parts(path):
            raise DegenError(
                f"{path}: this folder holds no run (run.json), no Parquet parts, and no logs or results that can be "
                f"read ({', '.join(kinds_of_folders())}); name a folder that holds one of them, or a table"
            )
        table = OpenTable(read_table_file(path), path, in_order=not path.is_dir())
        return table if only_tables or path.is_dir() else as_log(table)
    except OSError as error:
        raise DegenError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error


def folders_in(path: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name.

    Raises:
        DegenError: the folder cannot be read.
    """
    try:
        return sorted(p for p in path.iterdir() if p.is_dir())
    except OSError as error:
        raise DegenError(f"{path}: the folder cannot be read ({error.strerror}); check its permissions") from error


def _open_run(path: Path) -> Run | OpenTable | None:
    """Return the run in a folder, or the table of a run; None where the folder is of no run.

    Raises:
        DegenError: the folder holds a run, or lacks a file of one.
    """
    if is_run(path):
        return read_run(path)
    named = path if path.name not in ("", "..") else path.resolve()
    for folder in (named, path.resolve()):  # a link may lead into a run
        if is_run(folder.parent):
            run = read_run(folder.parent)
            return run if folder.name == CHECKPOINTS else OpenTable(run.table(folder.name), path)
    for folder in folders_in(path):
        if is_run(folder):
            raise DegenError(f"{path}: this folder is no run, but holds one; did you mean {path / folder.name}?")
    if (path / CHECKPOINTS).is_dir() and (path / TIMING).is_dir():
        raise DegenError(
            f"{path}: this run folder lacks its run.json; copy that file, too, or name the folder of one of its tables"
        )
    return None
