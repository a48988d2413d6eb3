"""The column of the training step in a table or log: several names are usual, and one table may have several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from degen.checkpoints.steps import parse_revision

from .columns import is_text, texts
from .name_words import words_of

if TYPE_CHECKING:
    import pyarrow as pa

# Words of names, the preferred one first. wandb's `_step` counts calls of `wandb.log`, and no optimiser steps.
STEP = (
    "train_global_step", "trainer_global_step", "global_step", "step", "steps", "iteration", "iterations", "iter",
    "train_step", "training_step", "optimizer_step", "iteration_step", "train_iteration", "training_iteration",
    "train_iter", "iter_num", "num_steps", "num_updates", "updates", "update", "checkpoint", "_step",
)  # fmt: skip
_MAY_BE_TEXT = ("checkpoint", "update", "updates")  # words that also name other things than steps
FILLED = 0.5  # share of the rows of the fullest candidate that a preferred one must have a value in


def find_step_columns(table: pa.Table) -> tuple[str, ...]:
    """Return the columns that may hold the step, the chosen one first; empty where the table has none.

    It is the first of `STEP` that has a value in at least half as many rows as the fullest candidate. Those that hold
    the same values as the chosen one are left out, and so is a `checkpoint` whose texts name no step.

    Args:
        table: the table; case, camel case and separators in the names of its columns make no difference.
    """
    columns = {words_of(column): column for column in reversed(table.column_names)}
    columns |= {column.lower(): column for column in reversed(table.column_names)}  # `STEPS`, whatever its capitals
    candidates = [columns[name] for name in STEP if name in columns and _may_hold_steps(table, columns[name])]
    filled = {column: len(table) - table[column].null_count for column in candidates}
    most = max(filled.values(), default=0)
    ordered = sorted(candidates, key=lambda column: filled[column] < FILLED * most)  # stable
    others = [column for column in ordered[1:] if filled[column] and not table[column].equals(table[ordered[0]])]
    return (*ordered[:1], *others)


def is_step_name(column: str) -> bool:
    """Return whether a column is called like one of steps."""
    return column.lower() in STEP or words_of(column) in STEP


def _may_hold_steps(table: pa.Table, column: str) -> bool:
    if column.lower() not in _MAY_BE_TEXT or not is_text(table, column):
        return True
    return _name_steps([text for text in texts(table, column) if text])


def _name_steps(names: Sequence[str]) -> bool:
    revisions = [parse_revision(name.strip()) for name in dict.fromkeys(names)]
    return bool(revisions) and all(revision is not None and revision.step is not None for revision in revisions)
