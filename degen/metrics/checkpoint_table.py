"""Tables of checkpoints: rows that have a step and a model, and the purpose of each column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats, Ints, Mask
from degen.errors import DegenError
from degen.readers.columns import keep_rows, numbers, texts
from degen.readers.table_file import stem

from .layout import Layout, read_layout, read_steps

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class CheckpointTable:
    """A table whose rows are checkpoints, or metrics of checkpoints, and the purpose of its columns.

    Attributes:
        table: its rows; each has a step.
        steps: the step of each row.
        models: label of the model of each row.
        layout: the purpose of each column.
        path: file or folder of the table, for messages.
        stepless: the rows that were left out because they have no step.
        freedom: degrees of freedom of the standard errors; None if unknown.
    """

    table: pa.Table
    steps: Ints
    models: list[str]
    layout: Layout
    path: Path
    stepless: pa.Table
    freedom: int | None = None
    _numbers: dict[str, Floats] = field(default_factory=dict, repr=False)
    _texts: dict[str, list[str | None]] = field(default_factory=dict, repr=False)
    _present: dict[str, Mask] = field(default_factory=dict, repr=False)

    def numbers(self, column: str) -> Floats:
        """Return a column as float64, NaN where it is missing. The array is shared: do not write to it."""
        if column not in self._numbers:
            self._numbers[column] = numbers(self.table, column, self.path)
        return self._numbers[column]

    def texts(self, column: str) -> list[str | None]:
        """Return a column as texts, None where it is missing. The list is shared: do not write to it."""
        if column not in self._texts:
            self._texts[column] = texts(self.table, column)
        return self._texts[column]

    def present(self, column: str) -> Mask:
        """Return a mask of the rows that have a value in a column, perhaps NaN; all rows of a table of a run.

        In a run every row is a checkpoint, and has a reason where it lacks a metric.
        """
        if column not in self._present:
            every = is_of_run(self.table)
            valid = [True] * len(self.table) if every else self.table[column].is_valid().to_pylist()
            self._present[column] = np.array(valid, dtype=bool)
        return self._present[column]

    def count_stepless(self, model: str, column: str) -> int:
        """Return how many rows of a model have a value in a column and no step; all without a step in a run."""
        labels = model_labels(self.stepless, self.layout, self.path)
        valid = self.stepless[column].is_valid().to_pylist()
        every = is_of_run(self.table)
        return sum(label == model and (every or has) for label, has in zip(labels, valid, strict=True))

    @cached_property
    def failed(self) -> Mask:
        """A mask of the rows of checkpoints that could not be measured: those with the status `failed`."""
        return has_status(self.table, "failed")


def read_checkpoint_table(
    table: pa.Table,
    path: Path,
    where: Mapping[str, str],
    warn: Callable[[str], None],
    keep_copies: bool = False,
    is_log: bool = False,
) -> CheckpointTable:
    """Return those rows of `table` that have a step and pass a filter, with the purpose of each column.

    Args:
        table: all rows.
        path: file or folder of the table, for messages.
        where: the filter: name of a column -> the value that it must have.
        warn: called with one line for every kind of row that is left out.
        keep_copies: whether checkpoints that are copies of other revisions are kept.
        is_log: whether the table is a log of training, in the order of its writing.

    Raises:
        DegenError: the table lacks a column of steps or one that the filter names, or no row is left.
    """
    import pyarrow as pa

    table = keep_rows(table, where, path)
    layout = read_layout(table, path, is_log)
    models = model_labels(table, layout, path)
    steps = read_steps(table, layout.step, path)
    kept = ~np.isnan(steps)
    if is_of_run(table) and (missing := int((~kept).sum())):
        warn(f"{path}: rows without a step left out: {missing}")  # of other tables the summary says it
    stepless = table.filter(pa.array(~kept))
    if not keep_copies:
        copies = has_status(table, "duplicate") & kept
        for model, count in Counter(m for m, copy in zip(models, copies, strict=True) if copy).items():
            warn(f"{model}: checkpoints left out as copies of other revisions (status duplicate): {count}")
        kept &= ~copies
    if not kept.any():
        raise DegenError(
            f"{path}: every row with a step is a copy of another revision; scan also the revisions that were copied"
        )
    return CheckpointTable(
        table=table.filter(pa.array(kept)),
        steps=steps[kept].astype(np.int64),
        models=[m for m, keep in zip(models, kept, strict=True) if keep],
        layout=layout,
        path=path,
        stepless=stepless,
    )


def model_labels(table: pa.Table, layout: Layout, path: Path) -> list[str]:
    """Return the label of the model of each row; where a row has none, the name of the table without its ending.

    Args:
        table: the rows.
        layout: which of the columns holds the labels.
        path: file or folder of the table.
    """
    labels = texts(table, layout.model) if layout.model is not None else [None] * len(table)
    return [label or stem(path) for label in labels]


def has_status(table: pa.Table, status: str) -> Mask:
    """Return a mask of the rows whose column `status` holds the text `status`.

    It is all False for a table that does not come from a run, since only runs have that column.
    """
    if not is_of_run(table):
        return np.zeros(len(table), dtype=bool)
    return np.array([text == status for text in texts(table, "status")], dtype=bool)


def is_of_run(table: pa.Table) -> bool:
    """Return whether a table is `checkpoints` of a run, or was exported from it."""
    return {"status", "duplicate_of"} <= set(table.column_names)
