"""Read curves from a run, a table, a folder of Parquet parts or results of lm-evaluation-harness."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from degen.errors import DegenError
from degen.paths import expand_user
from degen.readers.open_table import OpenTable
from degen.runs.run import Run

from .checkpoint_table import read_checkpoint_table
from .curve import Better, Curve
from .curve_options import CurveOptions
from .metric_kinds import Floor
from .open_target import open_target
from .run_curves import run_curves
from .table_curves import group_rows, read_curve


def find_curves(
    target: Path,
    *,
    metrics: Sequence[str] = (),
    where: Mapping[str, str] = {},
    better: Better | None = None,
    floors: Mapping[str | None, Floor] = {},
    sort: bool = False,
    warn: Callable[[str], None],
) -> list[Curve]:
    """Return the curves in a run, a table or a folder, model by model.

    Of a run folder the usual metrics are loss, anisotropy and singular entropy. Of a table, wide (one column for each
    metric) or long (columns `metric` and `value`), they are those whose names are known, or else all. Text columns such
    as `task`, and number columns called `seed` or `layer`, separate curves; their value goes before the metric's name:
    `lambada_openai/acc`.

    Args:
        target: a run folder, a CSV or Parquet file, a folder of Parquet parts, or of result files of
            lm-evaluation-harness.
        metrics: names of metrics, bare or whole; empty for the usual ones.
        where: values that columns must have.
        better: which way is better; None to go by the metrics' names.
        floors: least changes that matter by bare or whole name; the key None holds for all other metrics.
        sort: sort rows by step. Those of folders of parts or of result files are always sorted.
        warn: called with each line of warning.

    Returns:
        At least one curve; that of a metric without any value for its model is all NaN.

    Raises:
        DegenError: the target cannot be read, or lacks a metric, column or value.
    """
    target = expand_user(target)
    options = CurveOptions(metrics, better, floors, sort, warn)
    opened = open_target(target, options.warn_once)
    curves = run_curves(opened, where, options) if isinstance(opened, Run) else _table_curves(opened, where, options)
    options.check_floors(target, [name for curve in curves for name in (curve.bare_metric, curve.metric)])
    return _without_empty(curves)


def _table_curves(opened: OpenTable, where: Mapping[str, str], options: CurveOptions) -> list[Curve]:
    options.sort = options.sort or not opened.in_order
    options.higher_is_better = opened.higher_is_better
    checkpoints = read_checkpoint_table(opened.table, opened.path, where, options.warn_once)
    layout = checkpoints.layout
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
    return [read_curve(checkpoints, group, options) for group in groups]


def _without_empty(curves: Sequence[Curve]) -> list[Curve]:
    """Return the curves that have a value; and those without any, if no other task of the model has the metric."""
    measured = {(curve.model, curve.bare_metric) for curve in curves if np.isfinite(curve.values).any()}
    return [c for c in curves if np.isfinite(c.values).any() or (c.model, c.bare_metric) not in measured]
