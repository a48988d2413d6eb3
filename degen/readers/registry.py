"""All readers of what is neither a run nor a table, in the order in which they are asked."""

from __future__ import annotations

from pathlib import Path

from degen.errors import DegenError

from . import json_log, metrics_csv, tensorboard_log, trackio_log, wandb_log
from .evaluations import read_results
from .reader import Reader
from .table_file import FORMATS, has_parts

RESULTS = read_results.READER.kind
# Results come before logs, since any file of lines may be a log.
OF_FILES: tuple[Reader, ...] = (
    read_results.READER,
    tensorboard_log.FILE,
    wandb_log.FILE,
    trackio_log.READER,
    json_log.FILE,
)
OF_FOLDERS: tuple[Reader, ...] = (
    read_results.READER,  # results that lie beside a log are what was measured last
    json_log.FOLDER,
    tensorboard_log.FOLDER,
    wandb_log.FOLDER,
    metrics_csv.READER,
)


def find_reader(path: Path) -> Reader | None:
    """Return the first reader that recognises a file or folder; None for a table, or for what no reader recognises.

    Args:
        path: the file or folder.

    Raises:
        DegenError: it cannot be read.
    """
    try:
        if path.is_dir():
            return None if has_parts(path) else _first(OF_FOLDERS, path)
        if path.name.lower().endswith(FORMATS) or not path.is_file():
            return None
        return _first(OF_FILES, path)
    except OSError as error:
        raise DegenError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error


def kinds_of_folders() -> list[str]:
    """Return what the readers of folders read, for a message."""
    return [reader.kind for reader in OF_FOLDERS]


def _first(readers: tuple[Reader, ...], path: Path) -> Reader | None:
    return next((reader for reader in readers if reader.recognises(path)), None)
