"""A run folder for reading: its tables and its run.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.errors import DegenError
from degen.paths import expand_user
from degen.tables import CHECKPOINTS, Row

from .parts import check_columns, damaged, owner_of, part_files, read_part, read_schema
from .run_file import PROBES_BY_CONFIG, RUN_FILE, read_info
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
    """

    path: Path
    info: Mapping[str, Any] = field(repr=False)

    @cached_property
    def tables(self) -> list[str]:
        """Names of the tables there are."""
        try:
            folders = sorted(p for p in self.path.iterdir() if p.is_dir() and not p.name.startswith("."))
        except OSError as error:
            raise DegenError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        return [f.name for f in folders if (parts := part_files(f)) and owner_of(parts[0]) != "other"]

    def table(self, name: str) -> pa.Table:
        """Return one table whole, in the order of series, then stage and step, then the rows of each part.

        Raises:
            DegenError: there is no such table in the run, or a part of it is damaged.
        """
        import pyarrow as pa

        parts = self._parts(name)
        widest = max((part.schema.names for part in parts), key=len)
        table = pa.concat_tables(parts, promote_options="default").select(widest)
        models = table["model"].to_pylist()
        series = {model: i for i, model in enumerate(self.info.get("models", []))}
        whole = "revision" not in table.column_names  # a row is of a model's whole series
        revisions = [""] * len(table) if whole else table["revision"].to_pylist()
        positions = {} if whole else self._positions
        last = len(positions)
        order = sorted(
            range(len(table)),
            key=lambda i: (
                series.get(models[i], len(series)), positions.get((models[i], revisions[i]), last), revisions[i],
            ),
        )  # fmt: skip
        return table.take(pa.array(order, type=pa.int64()))

    @cached_property
    def _positions(self) -> dict[tuple[str, str], int]:
        """The place of each checkpoint in the training of its model, by model and revision."""
        rows = (
            [row for part in self._parts(CHECKPOINTS) for row in part.to_pylist()] if CHECKPOINTS in self.tables else []
        )
        return training_positions(rows, self.info.get("asked", {}).get("revision_pattern"))

    def _parts(self, name: str) -> list[pa.Table]:
        """Return the parts of a table, which have one schema, or fewer columns where a probe was added later.

        Raises:
            DegenError: no such table, or a part that is damaged or has other columns than most.
        """
        if name not in self.tables:
            raise DegenError(f"{self.path}: no table {name!r}; there are {', '.join(self.tables) or 'none yet'}")
        files = part_files(self.path / name)
        parts = [read_part(file) for file in files]
        schemas = [part.schema.remove_metadata() for part in parts]
        usual = Counter(schemas).most_common(1)[0][0]
        if added := PROBES_BY_CONFIG in self.info:
            usual = max(schemas, key=lambda schema: len(schema.names))
        for file, part in zip(files, parts, strict=True):
            if not part.schema.equals(usual) and not (added and set(part.schema) <= set(usual)):
                raise damaged(file, ValueError("it has other columns than the table"))
            check_columns(file, part, ["model"])
        return parts

    def glance(self, table: str) -> list[str]:
        """Return the columns of a table that its probes put in front of the user."""
        first = part_files(self.path / table)[:1] if table in self.tables else []
        schema = read_schema(first[0]) if first else self.table(table).schema
        return [f.name for f in schema if (f.metadata or {}).get(b"glance") == b"1"]

    def checkpoints(self) -> list[Row]:
        """Return the rows of table `checkpoints`."""
        rows: list[Row] = self.table(CHECKPOINTS).to_pylist()
        return rows

    @property
    def failed(self) -> list[Row]:
        """The checkpoints that could not be measured."""
        return [row for row in self.checkpoints() if row["status"] == "failed"]


def read_run(path: str | Path) -> Run:
    """Read a run folder.

    Raises:
        DegenError: the folder is no run, or of a schema this version does not know.
    """
    folder = expand_user(path)
    info = read_info(folder / RUN_FILE)
    if info is None and not folder.exists():
        raise DegenError(f"{folder}: no such folder; `degen scan SERIES -o {folder}` makes a run there")
    if info is None:
        raise DegenError(f"{folder}: not a run folder (no {RUN_FILE} in it); `degen scan` makes one of a series")
    return Run(folder, info)
