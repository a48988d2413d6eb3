"""Read the tables of a run part by part: the checkpoints in training order, and the measurements of each.

Only the parts that are needed are read, one by one, because pyarrow's readers of whole folders load pandas.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.arrays import Floats
from degen.errors import DegenError
from degen.runs.joined_parts import JoinedParts, take_parts
from degen.runs.part_cache import PartCache
from degen.runs.parts import check_columns, part_files, read_part_and_schema
from degen.runs.run import Run
from degen.runs.training_positions import training_positions
from degen.tables import CHECKPOINTS, Row, file_name

from .window_losses import WINDOW_COLUMNS, WindowLosses, paired_covariance, read_window_losses

if TYPE_CHECKING:
    import pyarrow as pa

LAYERS, WINDOWS = "layers", "windows"
_CHECKPOINT_COLUMNS = ["model", "revision", "step", "status", "reason"]
_NEEDED = {LAYERS: ("layer", "site"), WINDOWS: ("window", "document", "domain", "tokens", "loss")}
_KEYS = frozenset({"model", "revision", "step", "layer", "site", "domain"})


class RunParts:
    """The tables of a run, read part by part, each part once.

    Args:
        run: the run.
        cache: what was read of its parts before; None to read all that is needed.
    """

    def __init__(self, run: Run, cache: PartCache | None = None) -> None:
        self.run = run
        self._read = read_part_and_schema if cache is None else cache.read
        self._parts: dict[tuple[str, str, str, tuple[str, ...]], pa.Table | None] = {}
        self._windows: dict[tuple[str, str, str | None], WindowLosses | None] = {}

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.run.path

    @cached_property
    def checkpoints(self) -> pa.Table:
        """Table `checkpoints`: a row for each checkpoint, in the order of models, then of training.

        Those without a step come last in their model.

        Raises:
            DegenError: the run has no checkpoint yet, or a part of the table is damaged.
        """
        import pyarrow as pa

        joined = JoinedParts()
        for path in part_files(self.path / CHECKPOINTS):
            part, schema = self._read(path)
            check_columns(path, part, _CHECKPOINT_COLUMNS)
            if len(part):
                joined.add(path, part, schema)
        if not joined.files:
            raise DegenError(f"{self.path}: this run has no checkpoint yet; continue the scan")
        try:
            table = joined.table("permissive")
        except pa.ArrowException as error:
            raise DegenError(
                f"{self.path / CHECKPOINTS}: the parts of this table do not fit together ({error}); scan into a new run"
            ) from error
        return self._in_order(table, joined)

    def _in_order(self, table: pa.Table, joined: JoinedParts) -> pa.Table:
        """Return the parts of table `checkpoints` in the order of models, then of training."""
        models = {model: i for i, model in enumerate(self.run.info.get("models", []))}
        pattern = self.run.info.get("asked", {}).get("revision_pattern")
        rows, starts = joined.position_rows(table), joined.starts()
        positions = training_positions((rows[start] for start in starts), pattern)

        def position(part: int) -> tuple[int, str, int]:
            model, revision = rows[starts[part]]["model"], rows[starts[part]]["revision"]
            return models.get(model, len(models)), model, positions[model, revision]

        order = sorted(range(len(starts)), key=position)
        return take_parts(table, joined, order)

    @cached_property
    def rows(self) -> list[Row]:
        """Model, revision, step, status, reason and known tokens of every checkpoint, in the order of `checkpoints`."""
        known = {"tokens_seen"} & set(self.checkpoints.column_names)
        rows: list[Row] = self.checkpoints.select([*_CHECKPOINT_COLUMNS, *known]).to_pylist()
        return rows

    @cached_property
    def by_model(self) -> dict[str, list[int]]:
        """Model -> its checkpoints, as indices in `rows`; models in the order of the run."""
        found: dict[str, list[int]] = {}
        for i, row in enumerate(self.rows):
            found.setdefault(row["model"], []).append(i)
        return found

    @cached_property
    def samples(self) -> frozenset[str]:
        """The hashes of the samples of windows on which the run was measured."""
        return frozenset(str(sample["sha256"]) for sample in self._samples if "sha256" in sample)

    @cached_property
    def freedom(self) -> int | None:
        """Degrees of freedom of the standard errors: the number of documents − 1, at least 1; None if unknown."""
        documents = [int(sample["documents"]) for sample in self._samples if sample.get("documents")]
        return max(min(documents) - 1, 1) if documents else None

    @property
    def _samples(self) -> list[dict[str, Any]]:
        """The entries of run.json about the windows, one dict for each tokenizer."""
        sample = self.run.info.get("sample") or {}
        return [windows for windows in (sample.get("windows") or {}).values() if isinstance(windows, dict)]

    def part(self, table: str, model: str, revision: str, columns: tuple[str, ...]) -> pa.Table | None:
        """Return some columns of a checkpoint's part of a table; None where it has no part.

        Args:
            table: name of the table.
            model: label of the series.
            revision: name of the checkpoint.
            columns: their names; unknown ones are left out.

        Raises:
            DegenError: the part is damaged.
        """
        key = (table, model, revision, columns)
        if key not in self._parts:
            path = self.path / table / file_name(model) / f"{file_name(revision)}.parquet"
            part = self._read(path, columns)[0] if path.is_file() else None
            if part is not None:
                check_columns(path, part, [name for name in columns if name in _NEEDED.get(table, ())])
            self._parts[key] = part
        return self._parts[key]

    def columns(self, table: str) -> dict[str, bool]:
        """Return the columns of the table called `table`, as a dict: name -> whether it holds numbers.

        Key columns are left out. The dict is empty where the run has no part of the table.
        """
        import pyarrow as pa

        files = part_files(self.path / table)
        schema = self._read(files[0])[1] if files else pa.schema([])
        return {
            f.name: pa.types.is_integer(f.type) or pa.types.is_floating(f.type) for f in schema if f.name not in _KEYS
        }

    def windows(self, model: str, revision: str, domain: str | None = None) -> WindowLosses | None:
        """Return the scored windows of a checkpoint; None where it has none.

        Args:
            model: label of the model.
            revision: name of the checkpoint.
            domain: the domain of the windows; None for all.
        """
        key = (model, revision, domain)
        if key not in self._windows:
            part = self.part(WINDOWS, model, revision, WINDOW_COLUMNS)
            self._windows[key] = read_window_losses(part, domain) if part is not None else None
        return self._windows[key]

    def loss_covariance(self, model: str, revisions: Sequence[str | None]) -> Floats | None:
        """Return the covariance of a model's losses at some checkpoints, n × n.

        Args:
            model: label of the series.
            revisions: n names; None for a checkpoint that has no loss.

        Returns:
            The matrix, in nats² per token², with NaN for checkpoints without a loss; None where the checkpoints were
            not measured on the same windows.
        """
        checkpoints = [self.windows(model, name) if name is not None else None for name in revisions]
        unscored = any(c is None and name is not None for name, c in zip(revisions, checkpoints, strict=True))
        return None if unscored else paired_covariance(checkpoints)
