"""A log of training as a table: rows that have a step, without what is no measurement at a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Mask
from degen.errors import DegenError

from .open_table import OpenTable
from .records import some_names
from .step_column import find_step_columns

if TYPE_CHECKING:
    import pyarrow as pa

NAMES_ROW = ("epoch", "model", "_runtime", "_timestamp", "_step", "timestamp", "time")  # of these no metric is made


def open_log(table: pa.Table, path: Path, kind: str, left_out: Sequence[str] = ()) -> OpenTable:
    """Return a log as an open table, with the rows that have a step.

    Totals that a Trainer writes at the end of training (`train_runtime`, and `train_loss` as the mean over training)
    are left out, with what they are.

    Args:
        table: all rows of the log, in the order of their writing.
        path: its file or folder as the user gave it.
        kind: what it is, for the summary.
        left_out: what its reader left out already.

    Raises:
        DegenError: no column holds steps, or no row has one.
    """
    steps = find_step_columns(table)
    if not steps:
        names = some_names(table.column_names) or "none"
        raise DegenError(f"{path}: this log has no step; its values are {names}; log a value called step")
    reasons = list(left_out)
    kept = np.ones(len(table), dtype=bool)
    if "train_runtime" in table.column_names:
        kept = _leave_out(table, kept, ~_filled(table, "train_runtime"), "with totals of a training", reasons)
    kept = _leave_out(table, kept, _filled(table, steps[0]), "without a step", reasons)
    if not kept.any():
        raise DegenError(f"{path}: no row of this log has a step in {steps[0]!r}; log the step with every value")
    import pyarrow as pa

    rows = table.filter(pa.array(kept))
    lost = [c for c in rows.column_names if rows[c].null_count == len(rows) and table[c].null_count < len(table)]
    return OpenTable(rows.drop_columns(lost), path, kind=kind, is_log=True, left_out=tuple(reasons))


def _filled(table: pa.Table, column: str) -> Mask:
    return np.array(table[column].is_valid().to_pylist(), dtype=bool)


def _leave_out(table: pa.Table, kept: Mask, fit: Mask, why: str, reasons: list[str]) -> Mask:
    """Return a mask of the kept rows that fit; add to `reasons` how many others there are, and their columns."""
    import pyarrow as pa

    others = kept & ~fit
    count = int(others.sum())
    if count:
        rows = table.filter(pa.array(others))
        names = [c for c in rows.column_names if rows[c].null_count < count and c.lower() not in NAMES_ROW]
        reasons.append(
            f"{count} row{'s' * (count > 1)} {why} ({some_names(names)})" if names else f"{count} rows {why}"
        )
    return kept & fit
