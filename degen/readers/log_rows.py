"""A log of training as a table: rows that have a step, without what is no measurement at a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Mask
from degen.errors import DegenError
from degen.hints import some_names

from .open_table import OpenTable
from .records import counted
from .step_column import find_step_columns, is_step_name

if TYPE_CHECKING:
    import pyarrow as pa

NAMES_ROW = ("epoch", "model", "_runtime", "_timestamp", "_step", "timestamp", "time")  # of these no metric is made

TOTALS = ("train_loss", "train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos")


def open_log(table: pa.Table, path: Path, kind: str, left_out: Sequence[str] = ()) -> OpenTable:
    """Return a log as an open table, with the rows that have a step.

    Totals that a Trainer writes at the end of training, as `train_runtime`, and `train_loss` for the mean over all of
    it, are left out.

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
        raise DegenError(
            f"{path}: this log has no step; its values are {names}; log a value called step, or rename the one that "
            "counts them to step"
        )
    reasons = list(left_out)
    whole, table = table, _without_totals(table, reasons)
    kept = np.ones(len(table), dtype=bool)
    if table is not whole:
        values = [c for c in table.column_names if c.lower() not in NAMES_ROW and not is_step_name(c)]
        kept = np.any([_filled(table, column) for column in values], axis=0) if values else kept
    kept = _with_step(table, kept, steps[0], reasons)
    if not kept.any():
        raise DegenError(f"{path}: no row of this log has a step in {steps[0]!r}; log the step with every value")
    import pyarrow as pa

    rows = table.filter(pa.array(kept))
    lost = [c for c in rows.column_names if rows[c].null_count == len(rows) and table[c].null_count < len(table)]
    return OpenTable(rows.drop_columns(lost), path, kind=kind, is_log=True, left_out=tuple(reasons))


def _filled(table: pa.Table, column: str) -> Mask:
    return np.array(table[column].is_valid().to_pylist(), dtype=bool)


def _with_step(table: pa.Table, kept: Mask, step: str, reasons: list[str]) -> Mask:
    """Return a mask of the kept rows that have a step; add to `reasons` how many have none, and their columns."""
    import pyarrow as pa

    fit = _filled(table, step)
    count = int((kept & ~fit).sum())
    if count:
        rows = table.filter(pa.array(kept & ~fit))
        names = [c for c in rows.column_names if rows[c].null_count < count and c.lower() not in NAMES_ROW]
        columns = f" ({some_names(names)})" if names else ""
        reasons.append(counted(count, f"rows without a step{columns}"))
    return kept & fit


def _without_totals(table: pa.Table, reasons: list[str]) -> pa.Table:
    """Return a log without the columns of totals that a Trainer writes; add to `reasons` which they are."""
    for prefix in ("", "train/"):
        names = [f"{prefix}{name}" for name in TOTALS if f"{prefix}{name}" in table.column_names]
        mean, runtime = f"{prefix}train_loss", f"{prefix}train_runtime"
        if runtime not in names:
            continue
        if mean in names and table[mean].null_count < table[runtime].null_count:
            names.remove(mean)  # logged during training, too
        reasons.append(f"totals of a training ({some_names(names)})")
        table = table.drop_columns(names)
    return table
