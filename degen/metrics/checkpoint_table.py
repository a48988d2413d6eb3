"""A table with what its columns are for: rows that have a step, without copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats, Ints
from degen.errors import DegenError

from .columns import keep_rows, numbers, texts
from .curve_options import Wishes
from .layout import Layout, read_layout, read_steps
from .read_table import stem

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Sheet:
    """A table whose rows are checkpoints, or figures of checkpoints, and what its columns are for.

    Attributes:
        table: rows of which each has a step.
        steps: their steps.
        models: label of the model of each row.
        layout: which column is what.
        place: where the table came from, for messages.
    """

    table: pa.Table
    steps: Ints
    models: list[str]
    layout: Layout
    place: Path
    _numbers: dict[str, Floats] = field(default_factory=dict, repr=False)

    def numbers(self, column: str) -> Floats:
        """A column as float64, NaN where it is missing."""
        if column not in self._numbers:
            self._numbers[column] = numbers(self.table, column, self.place)
        return self._numbers[column]


def read_sheet(table: pa.Table, place: Path, where: Mapping[str, str], wishes: Wishes) -> Sheet:
    """Keep the rows that were asked for and that have a step, without copies of other checkpoints.

    Raises:
        DegenError: a column that is needed or filtered by is not there, or no row is left.
    """
    import pyarrow as pa

    table = keep_rows(table, where, place)
    layout = read_layout(table, place)
    labels = texts(table, layout.model) if layout.model is not None else [None] * len(table)
    models = [label or stem(place) for label in labels]
    steps = read_steps(table, layout.step, place)
    kept = ~np.isnan(steps)
    if missing := int((~kept).sum()):
        wishes.tell(f"{place}: rows without a step left out: {missing}")
    copies = _copies(table) & kept
    for model in dict.fromkeys(m for m, copy in zip(models, copies, strict=True) if copy):
        count = sum(m == model for m, copy in zip(models, copies, strict=True) if copy)
        wishes.tell(f"{model}: checkpoints left out as copies of other revisions (status duplicate): {count}")
    kept &= ~copies
    if not kept.any():
        raise DegenError(f"{place}: every row is a copy of another revision; scan the revisions they are copies of")
    return Sheet(
        table=table.filter(pa.array(kept)),
        steps=steps[kept].astype(np.int64),
        models=[m for m, keep in zip(models, kept, strict=True) if keep],
        layout=layout,
        place=place,
    )


def _copies(table: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which rows of a table `checkpoints` say that they are copies."""
    if not {"status", "duplicate_of"} <= set(table.column_names):
        return np.zeros(len(table), dtype=bool)
    return np.array([status == "duplicate" for status in texts(table, "status")], dtype=bool)
