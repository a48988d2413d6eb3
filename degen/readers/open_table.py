"""A table that was read, with what is known of its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class OpenTable:
    """A table that was read, with its path.

    Attributes:
        table: its rows.
        path: its file or folder as the user gave it, for messages.
        in_order: whether the order of the rows has a meaning, as in a file; in a folder of parts it has none.
        kind: what the source is, as `table`, `Trainer state` or `results of lm-evaluation-harness`.
        is_log: whether it is a log of training, whose rows are in the order of their writing.
        left_out: what the reader left out and why, a phrase each, as `2 rows of predictions (no step)`.
        origins: quantity -> where it comes from, for the quantities that were no columns: `model` -> `(name of the
            file)`; empty for a table, in which each has a column.
        higher_is_better: metric -> whether higher values are better, for the metrics of which the source says it.
    """

    table: pa.Table = field(repr=False)
    path: Path
    in_order: bool = True
    kind: str = "table"
    is_log: bool = False
    left_out: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)
