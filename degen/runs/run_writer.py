"""A run folder while it is scanned: the lock, the parts that are done, and how they are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from degen.checkpoints.series import Checkpoint
from degen.errors import RunFolderError
from degen.tables import (
    CHECKPOINTS,
    ENGINE_TABLES,
    SATURATION,
    SCHEMA_VERSION,
    TIMING,
    Row,
    Rows,
    Tables,
    atomic,
    file_name,
    write_part,
)

from .run import DOWNLOADS, SAMPLE, TRAINING_FOLDER, read_info

AddsOnly = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]


class PartKeys(Protocol):
    """The key columns of a checkpoint in the tables of a run."""

    @property
    def model(self) -> str:
        """Label of the series."""

    @property
    def revision(self) -> str:
        """Name of the checkpoint within its series."""

    @property
    def step(self) -> int | None:
        """Optimiser steps so far; None if unknown."""


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Name the folder in the error where a file in it cannot be written.

    Raises:
        RunFolderError: the block met an OSError.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> RunFolderError:
    """Return the error for a run folder that takes no file."""
    return RunFolderError(f"{path}: cannot be written ({error.strerror or error})", "choose another --out")


class RunWriter:
    """A run folder while it is scanned. Make one with `open_run`."""

    def __init__(self, path: Path, info: dict[str, Any], fresh: bool) -> None:
        self.path = path
        self.info = info
        self.fresh = fresh  # what lies in the folder is about to be replaced

    def start(self) -> None:
        """Empty the folder of an earlier run, if this one starts over; all input has been checked by now."""
        if self.fresh:
            with write_errors(self.path):
                _empty(self.path)
        self.fresh = False

    def save_info(self) -> None:
        """Write run.json, if it says anything new."""
        file = self.path / "run.json"
        text = json.dumps(self.info, indent=2, ensure_ascii=False) + "\n"
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            return
        with write_errors(self.path), atomic(file) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def part(self, table: str, checkpoint: PartKeys) -> Path:
        """Return the path of a checkpoint's part of a table."""
        return self.path / table / file_name(checkpoint.model) / f"{file_name(checkpoint.revision)}.parquet"

    def done(self, checkpoint: Checkpoint, tables: Tables) -> Row | None:
        """Return the row of a checkpoint measured already.

        None if it was not, failed, lacks a part, or its files have changed since; a checkpoint whose weights were
        deleted to save space is still measured.
        """
        row = next(iter(self._rows(CHECKPOINTS, checkpoint)), None)
        timing = self._rows(TIMING, checkpoint)
        if self.fresh or row is None or row["status"] == "failed" or not timing:
            return None
        if not all(self.part(name, checkpoint).is_file() for name in tables.names):
            return None
        version = checkpoint.source.version()
        return row if version is None or timing[0]["source_version"] == version else None

    def source_hash(self, checkpoint: Checkpoint) -> str | None:
        """Return the source hash in the part of a checkpoint; None without one."""
        notes = _read_notes(self.part(CHECKPOINTS, checkpoint))
        return notes[b"degen.source_hash"].decode() if b"degen.source_hash" in notes else None

    def rows(self, checkpoint: Checkpoint, tables: Tables) -> Rows:
        """Return all that is stored of a checkpoint, by table."""
        return {name: self._rows(name, checkpoint) for name in tables.names}

    def _rows(self, table: str, checkpoint: Checkpoint) -> list[Row]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            rows: list[Row] = pq.ParquetFile(self.part(table, checkpoint)).read().to_pylist()
        except (OSError, pa.ArrowException):
            return []
        return rows

    def write(self, checkpoint: PartKeys, tables: Tables, rows: Rows, source_hash: str) -> None:
        """Write every part of a checkpoint; the one of `checkpoints` last, since it says that all are there."""
        keys = {"model": checkpoint.model, "revision": checkpoint.revision, "step": checkpoint.step}
        notes = {"degen.config_hash": self.info["config_hash"], "degen.source_hash": source_hash}
        self.part(CHECKPOINTS, checkpoint).unlink(missing_ok=True)
        (self.path / SATURATION / f"{file_name(checkpoint.model)}.parquet").unlink(missing_ok=True)  # of fewer
        for name in sorted(tables.names, key=lambda n: n == CHECKPOINTS):
            part = [{**row, **keys} for row in rows.get(name, [])]
            write_part(self.part(name, checkpoint), tables.schema(name), part, notes)


@contextmanager
def open_run(
    path: Path, settings: dict[str, Any], fresh: bool, adds_only: AddsOnly = lambda old, new: False
) -> Iterator[RunWriter]:
    """Open a run folder for scanning: new, or one to continue; locked while the block lasts.

    Args:
        path: the folder; made if it is not there.
        settings: as run.json keeps them; those of a run to continue must be the same.
        fresh: take the folder as if it were new; `RunWriter.start` empties it, once all input is checked.
        adds_only: returns whether other settings than those of the run, which it gets first, do no more than add to it;
            they then take their place.

    Raises:
        RunFolderError: the folder holds something else, other settings, or another scan is at work in it.
    """
    from filelock import FileLock, Timeout

    if path.is_dir() and not (path / "run.json").exists() and any(not _is_leftover(p) for p in path.iterdir()):
        raise RunFolderError(f"{path}: holds files and is no run folder", "choose another with --out")
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"{path}: is a file", "choose another folder with --out")
    lock = FileLock(path / ".lock", timeout=0)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise RunFolderError(f"{path}: another scan is at work in it", "wait for it or choose another --out") from None
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        info = None if fresh else read_info(path / "run.json")
        if info is not None and info.get("asked") != settings and adds_only(info.get("asked", {}), settings):
            info["asked"] = settings
        if info is not None and info.get("asked") != settings:
            difference = _difference(info.get("asked", {}), settings)
            raise RunFolderError(f"{path}: {difference}", "choose another --out, or --fresh")
        new = {"schema_version": SCHEMA_VERSION, "asked": settings}
        yield RunWriter(path, info if info is not None else new, fresh)
    finally:
        lock.release()


def _is_leftover(file: Path) -> bool:
    """Return whether a scan that was killed before it wrote run.json may have left the file."""
    return file.name in (".lock", DOWNLOADS, SAMPLE) or (file.name.startswith(".") and file.suffix == ".partial")


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return which settings differ, as the user would write them."""
    old, new = _flat(old), _flat(new)
    new = dict.fromkeys(old.keys() - new.keys()) | new
    names = [name for name in new if old.get(name) != new[name]]
    shown = [f"{n} {_format_setting(old.get(n))} (now {_format_setting(new[n])})" for n in names[:2]]
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"was scanned with other settings: {', '.join(shown)}{more}"


def _flat(settings: Mapping[str, Any], names: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return settings in one level: those within others by their own name, as `ranks of rank` for a probe's option."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        inner = (*names, name)
        if isinstance(value, Mapping):
            flat |= _flat(value, inner)
        else:
            flat[" of ".join(reversed([n for n in inner if n != "options"]))] = value
    return flat


def _format_setting(value: Any) -> str:
    """Return a setting as a user would write it."""
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return "by default" if value is None else str(value)


def _is_table(folder: Path) -> bool:
    """Return whether a folder holds parts that degen wrote, as their metadata says; run.json may be damaged."""
    return any(b"degen.version" in _read_notes(part) for part in folder.rglob("[!.]*.parquet"))


def _read_notes(part: Path) -> dict[bytes, bytes]:
    """Return the metadata of a Parquet file; empty where it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(part).metadata or {}
    except (OSError, pa.ArrowException):
        return {}


def _empty(path: Path) -> None:
    """Remove what a run wrote and nothing else, run.json last: a folder half emptied is still a run folder."""
    import shutil

    for folder in sorted(path.iterdir(), key=lambda f: f.name != CHECKPOINTS):  # its parts stand for all others
        if folder.is_dir() and (folder.name in ENGINE_TABLES or _is_table(folder)):
            shutil.rmtree(folder)
    for scratch in (DOWNLOADS, TRAINING_FOLDER):
        shutil.rmtree(path / scratch, ignore_errors=True)
    (path / SAMPLE).unlink(missing_ok=True)
    (path / "run.json").unlink(missing_ok=True)
