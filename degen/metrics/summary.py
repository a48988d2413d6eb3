"""What was understood of a run, a table, a log or results, for one line and the JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from degen.hints import some_names
from degen.readers.columns import is_number_text, is_text, texts
from degen.readers.name_words import is_validation
from degen.readers.open_table import OpenTable
from degen.readers.records import counted
from degen.readers.source_summary import SourceSummary

from .checkpoint_table import CheckpointTable
from .curve import Curve
from .metric_kinds import is_loss, kind_of

RUN = "run"


def summarise_run(path: Path, curves: Sequence[Curve]) -> SourceSummary:
    """Return the summary of a run.

    Args:
        path: the run folder.
        curves: what was read from it.
    """
    return SourceSummary(
        path=path,
        kind=RUN,
        rows=len({(curve.model, step) for curve in curves for step in curve.steps.tolist()}),
        columns={"model": "model", "step": "step"},
        models=tuple(dict.fromkeys(curve.model for curve in curves)),
        metrics=tuple(dict.fromkeys(curve.metric for curve in curves)),
        errors=_own_errors(curves),
    )


def summarise_table(
    opened: OpenTable,
    checkpoints: CheckpointTable,
    curves: Sequence[Curve],
    values_left_out: Mapping[str, int],
    named: bool = False,
) -> SourceSummary:
    """Return the summary of a table, a log or results.

    Args:
        opened: the table as it was opened.
        checkpoints: the rows of it that were used, and the purpose of each column.
        curves: what was read from them.
        values_left_out: reason -> how many values were left out for it.
        named: whether the user named the metrics, so that others are not missed.
    """
    layout = checkpoints.layout
    wide = layout.metric is None
    columns = {"model": layout.model or "(name of the file or folder)", "step": layout.step}
    columns |= {} if wide else {"metric": str(layout.metric), "value": layout.metrics[0]}
    columns = dict(opened.origins) or columns
    metrics = tuple(dict.fromkeys(curve.metric for curve in curves))
    bare = {curve.bare_metric for curve in curves}
    read = bare if wide else set(layout.metrics)
    left_out = [*opened.left_out, *(counted(count, reason) for reason, count in values_left_out.items())]
    if len(checkpoints.stepless):
        left_out.append(counted(len(checkpoints.stepless), "rows without a step"))
    if wide and not named:
        left_out += _columns_left_out(checkpoints, bare)
    return SourceSummary(
        path=opened.path,
        kind=opened.kind,
        rows=len(checkpoints.table),
        columns=columns,
        models=tuple(dict.fromkeys(checkpoints.models)),
        metrics=metrics,
        errors=tuple(dict.fromkeys(error for metric, error in layout.errors.items() if metric in read)),
        left_out=tuple(left_out),
        remarks=tuple(_remarks(checkpoints, metrics)),
    )


def _own_errors(curves: Sequence[Curve]) -> tuple[str, ...]:
    known = [c for c in curves if c.errors is not None and np.isfinite(c.errors).any()]
    return tuple(dict.fromkeys(f"{curve.metric}_se" for curve in known))


def _columns_left_out(checkpoints: CheckpointTable, bare: set[str]) -> list[str]:
    """Return a phrase for metrics that were not read: those of unknown names, and those whose column holds text."""
    phrases = []
    if others := [column for column in checkpoints.layout.likely if column not in bare]:
        phrases.append(counted(len(others), f"columns of other numbers ({some_names(others)}), which --metric takes"))
    return phrases + text_columns_left_out(checkpoints)


def text_columns_left_out(checkpoints: CheckpointTable) -> list[str]:
    """Return a phrase for each column that is called like a metric and holds text."""
    layout, table = checkpoints.layout, checkpoints.table
    phrases = []
    for column in table.column_names:
        if column not in layout.metrics and is_text(table, column) and kind_of(column) is not None:
            text = next((t for t in texts(table, column) if t and not is_number_text(t)), None)
            phrases.append(f"column {column}, which holds text" + (f" such as {text!r}" if text else ""))
    return phrases


def _remarks(checkpoints: CheckpointTable, metrics: Sequence[str]) -> list[str]:
    """Return remarks on choices that could have been others."""
    layout = checkpoints.layout
    remarks = []
    if layout.other_steps:
        remarks.append(
            f"steps could also be {some_names(layout.other_steps)}; remove column {layout.step} to take the next"
        )
    losses = [metric for metric in metrics if is_loss(metric)]
    validation = [metric for metric in losses if is_validation(metric)]
    if validation and len(validation) < len(losses):
        remarks.append("losses of validation come before those of training")
    return remarks
