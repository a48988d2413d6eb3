"""A run folder while it is scanned: the lock, the parts that are done, and how they are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from degen.checkpoints.series import Checkpoint
from degen.checkpoints.source import same_version
from degen.errors import DegenError, RunFolderError
from degen.paths import atomic, create_once
from degen.stores.urls import url_of
from degen.tables import (
    CHECKPOINTS,
    SATURATION,
    SCHEMA_VERSION,
    SIMILARITY,
    TIMING,
    Row,
    Rows,
    Tables,
    file_name,
    write_part,
)

from .ownership import check_part, delete, delete_partials, files_of_run, files_of_table, is_leftover
from .parts import owner_of, read_notes, read_part
from .run_file import PROBES_BY_CONFIG, RUN_FILE, kind_of, read_info
from .run_lock import run_lock
from .settings_difference import describe_difference
from .shared_info import merge_info

if TYPE_CHECKING:
    import pyarrow as pa

    from .stored_run import StoredRun

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

    def __init__(
        self,
        path: Path,
        info: dict[str, Any],
        fresh: bool,
        before: dict[str, Any] | None = None,
        shared: bool = False,
        store: StoredRun | None = None,
    ) -> None:
        self.path = path
        self.store = store  # where the run lies, if the folder is a copy of it
        self.info = info
        self.fresh = fresh  # what lies in the folder is about to be replaced
        self.shared = shared  # other processes may write to it at the same time
        self._info_before = before
        self._replaced = files_of_run(path, before) if fresh and kind_of(path / RUN_FILE) != "absent" else []

    def start(self) -> None:
        """Empty the folder of an earlier run, if this one starts over; all input has been checked by now."""
        if self.fresh:
            for table in self.info.get("tables", ()):
                files_of_table(self.path / table, self._info_before)  # refuses files of others
            with write_errors(self.path):
                delete(self.path, self._replaced, self._info_before)
            self.publish()
        self.fresh = False

    def publish(self) -> None:
        """Carry over what has changed to where the run lies, if the folder is a copy of it."""
        if self.store is not None:
            self.store.push()

    @property
    def is_new(self) -> bool:
        """Whether there was no run when the folder was opened."""
        return self._info_before is None

    def create_info(self) -> bool:
        """Write run.json of a new run; return whether this process did so, and no other before it."""
        with write_errors(self.path):
            created = create_once(self.path / RUN_FILE, _to_text(self.info))
        if created and self.store is not None:
            created = self.store.create_info()
        if created:
            self._info_before = deepcopy(self.info)
        return created

    def save_info(self) -> None:
        """Write run.json, if it says anything new; what other processes added to a shared run stays."""
        file = self.path / RUN_FILE
        if self.shared and self.store is not None:
            self.store.pull_info()
        if self.shared and (stored := read_info(file)) is not None:
            self.info = merge_info(stored, self._info_before or stored, self.info)
            self._info_before = deepcopy(self.info)
        text = _to_text(self.info)
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            return
        with write_errors(self.path), atomic(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
        self.publish()

    def part(self, table: str, checkpoint: PartKeys) -> Path:
        """Return the path of a checkpoint's part of a table."""
        return self.path / table / file_name(checkpoint.model) / f"{file_name(checkpoint.revision)}.parquet"

    def done(self, checkpoint: Checkpoint, tables: Tables) -> Row | None:
        """Return the row of a checkpoint measured already.

        None if it was not, failed, lacks a part, or its files have changed since; a checkpoint whose weights were
        deleted to save space is still measured.
        """
        if self.fresh:
            return None
        parts = {name: self._read(name, checkpoint, tables) for name in tables.names}
        row = self._only_row(parts[CHECKPOINTS])
        if row is None or row["status"] == "failed" or any(part is None for part in parts.values()):
            return None
        timing = self._only_row(parts[TIMING])
        version = checkpoint.source.version()
        return row if timing is not None and same_version(timing["source_version"], version) else None

    @staticmethod
    def _only_row(part: pa.Table | None) -> Row | None:
        """Return the first row of a part; None without any."""
        return next(iter(part.slice(0, 1).to_pylist()), None) if part is not None else None

    def probes_of(self, checkpoint: PartKeys) -> list[str]:
        """Return the names of the probes that the parts of a checkpoint were measured with; none without a part."""
        notes = read_notes(self.part(CHECKPOINTS, checkpoint))
        if notes is None:
            return []
        config = notes.get(b"degen.config_hash", b"").decode()
        names: list[str] = self.info.get(PROBES_BY_CONFIG, {}).get(
            config, self.info.get("resolved", {}).get("probes", [])
        )
        return names

    def source_hash(self, checkpoint: Checkpoint) -> str | None:
        """Return the source hash in the part of a checkpoint; None without one."""
        notes = read_notes(self.part(CHECKPOINTS, checkpoint)) or {}
        return notes[b"degen.source_hash"].decode() if b"degen.source_hash" in notes else None

    def rows(self, checkpoint: Checkpoint, tables: Tables) -> Rows:
        """Return all that is stored of a checkpoint, by table."""
        parts = {name: self._read(name, checkpoint, tables) for name in tables.names}
        return {name: part.to_pylist() if part is not None else [] for name, part in parts.items()}

    def _read(self, table: str, checkpoint: Checkpoint, tables: Tables) -> pa.Table | None:
        """Return a checkpoint's part of a table; None where it is missing, damaged or has other columns.

        Raises:
            RunFolderError: a file that degen did not write lies in its place.
        """
        file = self.part(table, checkpoint)
        check_part(file)
        if not file.is_file():
            return None
        try:
            part = read_part(file)
        except DegenError:
            return None
        return part if part.schema.equals(tables.schema(table)) else None

    def write(self, checkpoint: PartKeys, tables: Tables, rows: Rows, source_hash: str) -> None:
        """Write every part of a checkpoint; the one of `checkpoints` last, since it says that all are there."""
        keys = {"model": checkpoint.model, "revision": checkpoint.revision, "step": checkpoint.step}
        notes = {"degen.config_hash": self.info["config_hash"], "degen.source_hash": source_hash}
        for name in tables.names:
            check_part(self.part(name, checkpoint))
        self.part(CHECKPOINTS, checkpoint).unlink(missing_ok=True)
        for table in (SATURATION, SIMILARITY):  # of fewer checkpoints
            of_fewer = self.path / table / f"{file_name(checkpoint.model)}.parquet"
            if owner_of(of_fewer) == "degen":
                of_fewer.unlink(missing_ok=True)
        for name in sorted(tables.names, key=lambda n: n == CHECKPOINTS):
            part = [{**row, **keys} for row in rows.get(name, [])]
            write_part(self.part(name, checkpoint), tables.schema(name), part, notes)
        self.publish()


def _to_text(info: Mapping[str, Any]) -> str:
    """Return run.json as text."""
    return json.dumps(info, indent=2, ensure_ascii=False) + "\n"


@contextmanager
def open_run(
    path: Path,
    settings: dict[str, Any],
    fresh: bool,
    adds_only: AddsOnly = lambda old, new: False,
    shared: bool = False,
    store: StoredRun | None = None,
) -> Iterator[RunWriter]:
    """Open a run folder for scanning: new, or one to continue; locked while the block lasts.

    Args:
        path: the folder; made if it is not there.
        settings: as run.json keeps them; those of a run to continue must be the same.
        fresh: take the folder as if it were new; `RunWriter.start` empties it, once all input is checked.
        adds_only: returns whether other settings than those of the run, which it gets first, do no more than add to it;
            they then take their place.
        shared: whether other processes may open the folder shared at the same time.
        store: where the run lies, if the folder is a copy of it.

    Raises:
        RunFolderError: the folder holds something else, other settings, or another scan is at work in it.
    """
    check_folder(path)
    with ExitStack() as stack:
        with write_errors(path):
            stack.enter_context(run_lock(path, shared))
        before = _info_to_replace(path) if fresh else read_info(path / RUN_FILE)
        info = None if fresh else deepcopy(before)
        if info is not None and adds_only(info.get("asked", {}), settings):
            info["asked"] = settings
        _check_settings(path, info, settings)
        if not shared:  # else they may be another's, who is at work
            with write_errors(path):  # a run folder, or what a scan left that was killed before it wrote run.json
                delete_partials(path, before or {})
        new = {"schema_version": SCHEMA_VERSION, "asked": settings}
        yield RunWriter(path, info if info is not None else new, fresh, before, shared, store)


def check_run(path: Path, settings: dict[str, Any], adds_only: AddsOnly = lambda old, new: False) -> None:
    """Refuse a folder in which a run of these settings cannot begin or continue; nothing is written.

    Args:
        path: the run folder.
        settings: of the scan.
        adds_only: as for `open_run`.

    Raises:
        RunFolderError: it holds something else, or a run of other settings.
    """
    check_folder(path)
    info = read_info(path / RUN_FILE)
    if info is None or not adds_only(info.get("asked", {}), settings):
        _check_settings(path, info, settings)


def _check_settings(path: Path, info: Mapping[str, Any] | None, settings: Mapping[str, Any]) -> None:
    """Refuse to continue a run of other settings.

    Args:
        path: the run folder.
        info: its run.json; None where there is none.
        settings: of this scan.

    Raises:
        RunFolderError: they differ.
    """
    if info is not None and info.get("asked") != settings:
        difference = describe_difference(info.get("asked", {}), settings)
        raise RunFolderError(f"{path}: {difference}", "choose another --out, or --fresh")


def check_folder(path: Path) -> None:
    """Refuse a folder that holds anything but a run, or what a scan left that was killed at its beginning.

    Raises:
        RunFolderError: it does, or it is no folder.
    """
    if (url := url_of(path)) is not None:
        raise RunFolderError(f"{url}: is no folder", "name a folder; `degen scan` alone writes to URLs")
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"{path}: is a file", "choose another folder with --out")
    kind = kind_of(path / RUN_FILE)
    if kind == "foreign":
        raise RunFolderError(f"{path}: its {RUN_FILE} was written by another program", "choose another with --out")
    try:
        if kind == "absent" and path.is_dir() and not all(map(is_leftover, path.iterdir())):
            raise RunFolderError(f"{path}: holds files and is no run folder", "choose another with --out")
    except OSError as error:
        raise unwritable(path, error) from error


def _info_to_replace(path: Path) -> dict[str, Any] | None:
    """Return the run.json of a run that is to be replaced; None without one, or where it is damaged."""
    try:
        return read_info(path / RUN_FILE)
    except RunFolderError:
        return None
