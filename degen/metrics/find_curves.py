"""Read curves from a run, a table, a folder of Parquet parts, a log of training or results of evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Required, TypedDict, Unpack

import numpy as np

from degen.errors import DegenError
from degen.paths import expand_user
from degen.readers.open_table import OpenTable
from degen.readers.source_summary import SourceSummary
from degen.runs.run import Run

from .checkpoint_table import read_checkpoint_table
from .curve import Better, Curve
from .curve_options import CurveOptions
from .curve_rows import group_rows
from .metric_kinds import Floor
from .open_target import open_target
from .run_curves import run_curves
from .summary import summarise_run, summarise_table, text_columns_left_out
from .table_curves import read_curve


class CurveKeywords(TypedDict, total=False):
    """The keywords of `read_curves` and `find_curves`."""

    metrics: Sequence[str]
    where: Mapping[str, str]
    better: Better | Mapping[str | None, Better] | None
    floors: Mapping[str | None, Floor]
    sort: bool
    warn: Required[Callable[[str], None]]


def read_curves(
    target: Path,
    *,
    metrics: Sequence[str] = (),
    where: Mapping[str, str] = {},
    better: Better | Mapping[str | None, Better] | None = None,
    floors: Mapping[str | None, Floor] = {},
    sort: bool = False,
    warn: Callable[[str], None],
) -> tuple[list[Curve], SourceSummary]:
    """Return the curves in a run, a table, a log or a folder, model by model, and what was understood of it.

    Of a run folder the usual metrics are loss, anisotropy and singular entropy. Of a table, wide (one column for each
    metric) or long (columns `metric` and `value`), they are those whose names are known, or else all. Text columns such
    as `task`, and number columns called `seed` or `layer`, separate curves; their value goes before the metric's name:
    `lambada_openai/acc`.

    Args:
        target: a run folder, a CSV or Parquet file, a folder of Parquet parts, or what a reader of
            `degen.readers.registry` recognises: a log of training, or results of evaluations.
        metrics: names of metrics, bare or whole; empty for the usual ones.
        where: values that columns must have.
        better: which way is better, `min` or `max`, for all metrics or by bare or whole name; None to go by their
            names.
        floors: least changes that matter by bare or whole name; the key None holds for all other metrics.
        sort: sort rows by step. Those of folders of parts or of result files are always sorted.
        warn: called with each line of warning.

    Returns:
        At least one curve; that of a metric without any value for its model is all NaN. And what was understood of the
        target.

    Raises:
        DegenError: the target cannot be read, or lacks a metric, column or value.
    """
    target = expand_user(target)
    directions: Mapping[str | None, Better] = {None: better} if isinstance(better, str) else better or {}
    options = CurveOptions(metrics, directions, floors, sort, warn, undo=not sort)
    opened = open_target(target, options.warn_once)
    if isinstance(opened, Run):
        curves = _without_empty(run_curves(opened, where, options))
        summary = summarise_run(opened.path, curves)
    else:
        curves, summary = _table_curves(opened, where, options)
    options.check_names(target, [name for curve in curves for name in (curve.bare_metric, curve.metric)])
    return curves, summary


def find_curves(target: Path, **options: Unpack[CurveKeywords]) -> list[Curve]:
    """Return the curves in a run, a table, a log or a folder, model by model; see `read_curves`."""
    return read_curves(target, **options)[0]


def _table_curves(
    opened: OpenTable, where: Mapping[str, str], options: CurveOptions
) -> tuple[list[Curve], SourceSummary]:
    options.sort = options.sort or not opened.in_order
    options.higher_is_better = opened.higher_is_better
    checkpoints = read_checkpoint_table(opened.table, opened.path, where, options.warn_once, is_log=opened.is_log)
    layout = checkpoints.layout
    if not layout.metrics and (phrases := text_columns_left_out(checkpoints)):
        raise DegenError(f"{opened.path}: no metric can be read: {phrases[0]}; write its numbers as 2.5, with a point")
    if not layout.metrics:
        raise DegenError(
            f"{opened.path}: the table has no column of numbers other than the steps; add one that holds the metric"
        )
    if not layout.usual and not options.metrics:
        names = ", ".join(layout.metrics)
        raise DegenError(
            f"{opened.path}: the table seems to hold only steps, sizes and errors; if one of its columns is a metric, "
            f"name it with --metric ({names})"
        )
    groups = group_rows(checkpoints, options, layout.usual)
    curves = _without_empty([read_curve(checkpoints, group, options) for group in groups])
    return curves, summarise_table(opened, checkpoints, curves, options.left_out, bool(options.metrics))


def _without_empty(curves: Sequence[Curve]) -> list[Curve]:
    """Return the curves that have a value; and those without any, if no other task of the model has the metric."""
    measured = {(curve.model, curve.bare_metric) for curve in curves if np.isfinite(curve.values).any()}
    return [c for c in curves if np.isfinite(c.values).any() or (c.model, c.bare_metric) not in measured]
