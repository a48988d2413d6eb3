"""Open a run, a table, a folder of Parquet parts or results of lm-evaluation-harness."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from degen.errors import DegenError
from degen.paths import expand_user
from degen.readers.lm_eval import is_results, read_results
from degen.readers.open_table import OpenTable
from degen.readers.table_file import has_parts, read_table_file
from degen.runs.run import Run, read_run
from degen.runs.run_file import is_run
from degen.tables import CHECKPOINTS, TIMING


def open_target(path: Path, warn: Callable[[str], None], lm_eval: bool = True) -> Run | OpenTable:
    """Open a run or a table.

    Args:
        path: a run folder, the folder of one of its tables, a CSV or Parquet file, a folder of Parquet parts, or of
            result files of lm-evaluation-harness.
        warn: called with each line of warning.
        lm_eval: whether results of lm-evaluation-harness are accepted.

    Returns:
        The run, where the path is a run folder or that of its table `checkpoints`; for any other path a table.

    Raises:
        DegenError: the path does not exist, or holds none of these.
    """
    path = expand_user(path)
    try:
        if path.is_dir():
            return _open_folder(path, warn, lm_eval)
        if path.suffix == ".json" and lm_eval:
            raise DegenError(
                f"{path}: a JSON file cannot be read as a table; for results of lm-evaluation-harness, name the folder "
                "that holds the file"
            )
        return OpenTable(read_table_file(path), path)
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


def _open_folder(path: Path, warn: Callable[[str], None], lm_eval: bool) -> Run | OpenTable:
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
    if has_parts(path) or not lm_eval:
        return OpenTable(read_table_file(path), path, in_order=False)
    if is_results(path):
        return OpenTable(read_results(path, warn), path, in_order=False)
    raise DegenError(
        f"{path}: this folder holds no run (run.json), no Parquet parts and no results of lm-evaluation-harness; "
        "name a folder that holds one of them, or a table"
    )
