"""A run folder for reading: its tables and its run.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.checkpoints.steps import training_order
from degen.errors import DegenError, RunFolderError
from degen.tables import CHECKPOINTS, READABLE, Row

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
        return sorted(p.name for p in self.path.iterdir() if p.is_dir() and any(p.rglob("[!.]*.parquet")))

    def table(self, name: str) -> pa.Table:
        """Return one table whole, in the order of series, then stage and step, then the rows of each part.

        Raises:
            DegenError: there is no such table in the run.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        if name not in self.tables:
            raise DegenError(f"{self.path}: no table {name!r}; there are {', '.join(self.tables) or 'none yet'}")
        try:
            table = pq.read_table(self.path / name)
        except (OSError, pa.ArrowException) as error:
            raise DegenError(f"{self.path / name}: cannot be read ({error})") from error
        pattern = self.info.get("asked", {}).get("revision_pattern")
        series = {model: i for i, model in enumerate(self.info.get("models", []))}
        models = table["model"].to_pylist()
        whole = "revision" not in table.column_names  # a row is of a model's whole series
        revisions = [""] * len(table) if whole else table["revision"].to_pylist()
        order = sorted(
            range(len(table)),
            key=lambda i: (series.get(models[i], len(series)), training_order(revisions[i], pattern)),
        )
        return table.take(pa.array(order, type=pa.int64()))

    def glance(self, table: str) -> list[str]:
        """Return the columns of a table that its probes put in front of the user."""
        return [f.name for f in self.table(table).schema if (f.metadata or {}).get(b"glance") == b"1"]

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
    folder = Path(path).expanduser()
    info = read_info(folder / "run.json")
    if info is None:
        raise DegenError(f"{folder}: not a run folder (no run.json in it)")
    return Run(folder, info)


def read_info(file: Path) -> dict[str, Any] | None:
    """Read run.json; None where there is none.

    Raises:
        DegenError: the file is damaged, or of a schema this version does not know.
    """
    if not file.is_file():
        return None
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
        version = info["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{file}: damaged ({error})", "scan again with --fresh") from error
    if version not in READABLE:
        raise DegenError(f"{file}: schema version {version}; this degen reads {' and '.join(map(str, READABLE))}")
    return dict(info)
