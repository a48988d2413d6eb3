"""A run folder for reading: its tables and its run.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.errors import DegenError, RunFolderError
from degen.stores.urls import url_of
from degen.tables import CHECKPOINTS, Row

from .joined_parts import POSITION_COLUMNS, JoinedParts, sort_by_keys
from .locate import local_run
from .parts import check_keys, check_schema, damaged, owner_of, part_files, read_part_and_schema, read_schema
from .run_file import PLANNED, PROBES_BY_CONFIG, RUN_FILE, read_info
from .training_positions import training_positions

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE = "sample.parquet"
TRAINING_FOLDER = ".training"  # what an interrupted training is continued from
DOWNLOADS = ".downloads"  # weights of the hub while they are measured


@dataclass(frozen=True)
class Run:
    """A run that was scanned, for reading.

    Attributes:
        path: the run folder.
        url: of a run that lies elsewhere, of which the folder holds a copy; None for others.
    """

    path: Path
    info: Mapping[str, Any] = field(repr=False)
    url: str | None = None

    @property
    def name(self) -> str:
        """What a user calls it: its URL, or its folder."""
        return self.url or str(self.path)

    @property
    def short_name(self) -> str:
        """The last part of its name."""
        return self.path.name if self.url is None else self.url.rpartition("/")[2]

    def check_writable(self) -> None:
        """Refuse a run of which there is only a copy on this machine.

        Raises:
            RunFolderError: it is such a run.
        """
        if self.url is not None:
            raise RunFolderError(f"{self.url}: is read from there, and nothing can be added", "name a run folder")

    @cached_property
    def tables(self) -> list[str]:
        """Names of the tables there are."""
        try:
            folders = sorted(p for p in self.path.iterdir() if p.is_dir() and not p.name.startswith("."))
        except OSError as error:
            raise DegenError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        return [f.name for f in folders if (parts := part_files(f)) and owner_of(parts[0]) != "other"]

    def table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return one table, in the order of series, then stage and step, then the rows of each part.

        Args:
            name: of the table.
            columns: the columns to read; those that the table lacks are left out. None for all.

        Raises:
            DegenError: there is no such table in the run, or a part of it is damaged.
        """
        keys = None if columns is None else [*columns, *POSITION_COLUMNS]
        joined = self._join(name, keys)
        table = joined.table("default")
        widest = max(joined.schemas, key=lambda schema: len(schema.names)).names
        positions: Mapping[tuple[str, str], int] = {}
        if "revision" in widest:  # else a row is of a model's whole series
            positions = self._order(joined.position_rows(table)) if name == CHECKPOINTS else self._positions
        series = {model: i for i, model in enumerate(self.info.get("models", []))}

        def rank(key: tuple[str, ...]) -> tuple[int | str, ...]:
            model, revision = key[0], key[1] if len(key) > 1 else ""
            return series.get(model, len(series)), positions.get((model, revision), len(positions)), revision

        ordered = sort_by_keys(table, ["model", "revision"] if "revision" in widest else ["model"], rank)
        return ordered.select([c for c in widest if columns is None or c in columns])

    @cached_property
    def _positions(self) -> dict[tuple[str, str], int]:
        """The place of each checkpoint in the training of its model, by model and revision."""
        if CHECKPOINTS not in self.tables:
            return {}
        joined = self._join(CHECKPOINTS, POSITION_COLUMNS)
        return self._order(joined.position_rows(joined.table("default")))

    def _order(self, rows: list[Row]) -> dict[tuple[str, str], int]:
        """Return the places of checkpoints in training, given their rows of table `checkpoints`."""
        return training_positions(rows, self.info.get("asked", {}).get("revision_pattern"))

    def _join(self, name: str, columns: Sequence[str] | None) -> JoinedParts:
        """Return the parts of a table, which have one schema, or fewer columns where a probe was added later.

        Raises:
            DegenError: no such table, or a part that is damaged or has other columns than most.
        """
        if name not in self.tables:
            raise DegenError(f"{self.name}: no table {name!r}; there are {', '.join(self.tables) or 'none yet'}")
        joined = JoinedParts()
        without_key: dict[Path, DegenError] = {}
        for file in part_files(self.path / name):
            part, schema = read_part_and_schema(file, columns)
            joined.add(file, part, schema)
            try:
                check_keys(file, part)
            except DegenError as error:
                without_key[file] = error
        usual = joined.schemas[Counter(joined.kinds).most_common(1)[0][0]]
        if added := PROBES_BY_CONFIG in self.info:
            usual = max(joined.schemas, key=lambda schema: len(schema.names))
        for file, kind in zip(joined.files, joined.kinds, strict=True):
            schema = joined.schemas[kind]
            if not schema.equals(usual) and not (added and set(schema) <= set(usual)):
                raise damaged(file, ValueError("it has other columns than the table"))
            if file is joined.files[joined.kinds.index(kind)]:
                check_schema(file, schema, ["model"])
            if file in without_key:
                raise without_key[file]
        return joined

    def glance(self, table: str) -> list[str]:
        """Return the columns of a table that its probes put in front of the user."""
        first = part_files(self.path / table)[:1] if table in self.tables else []
        schema = read_schema(first[0]) if first else self.table(table).schema
        return [f.name for f in schema if (f.metadata or {}).get(b"glance") == b"1"]

    def columns(self, table: str) -> list[str]:
        """Return the names of the columns of a table there is: those of the part that has the most.

        Raises:
            DegenError: a part of it is damaged.
        """
        return max((read_schema(file).names for file in part_files(self.path / table)), key=len)

    def checkpoints(self) -> list[Row]:
        """Return the rows of table `checkpoints`."""
        rows: list[Row] = self.table(CHECKPOINTS).to_pylist()
        return rows

    @cached_property
    def missing(self) -> dict[str, list[str]]:
        """The revisions that were to be measured and have no row yet, by model; unknown for runs of before."""
        there: set[tuple[str, str]] = set()
        if CHECKPOINTS in self.tables:
            table = self.table(CHECKPOINTS, ["model", "revision"])
            there = set(zip(table["model"].to_pylist(), table["revision"].to_pylist(), strict=True))
        missing = {
            model: [revision for revision in revisions if (model, revision) not in there]
            for model, revisions in self.info.get(PLANNED, {}).items()
        }
        return {model: revisions for model, revisions in missing.items() if revisions}

    @property
    def failed(self) -> list[Row]:
        """The checkpoints that could not be measured."""
        if "failed" not in self.table(CHECKPOINTS, ["status"])["status"].to_pylist():
            return []  # one column takes a third of the time of all
        return [row for row in self.checkpoints() if row["status"] == "failed"]


def read_run(path: str | Path) -> Run:
    """Read a run folder, or the run of a URL, of which a copy is kept on this machine.

    Args:
        path: the folder, or a URL: hf://datasets/org/name[@revision], s3://bucket/run and others of fsspec.

    Raises:
        DegenError: the folder is no run, or of a schema this version does not know; or the run cannot be downloaded.
    """
    url, folder = url_of(path), local_run(path)
    info = read_info(folder / RUN_FILE)
    if info is None and not folder.exists():
        raise DegenError(f"{folder}: no such folder; `degen scan SERIES -o {folder}` makes a run there")
    if info is None:
        raise DegenError(f"{folder}: not a run folder (no {RUN_FILE} in it); `degen scan` makes one of a series")
    return Run(folder, info, url)
