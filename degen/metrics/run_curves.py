"""Read curves from table `checkpoints` of a run, losses with their covariance from its table `windows`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from degen.errors import DegenError
from degen.readers.columns import empty_as_numbers
from degen.runs.run import Run

from .checkpoint_table import CheckpointTable, read_checkpoint_table
from .curve import UNKNOWN_STEP, Curve
from .curve_options import CurveOptions, best_of, plain_options
from .curve_rows import CurveRows, group_rows
from .layout import read_layout
from .part_curves import unmeasured_curve
from .run_parts import WINDOWS, RunParts
from .table_curves import OF_LOSS, read_curve, slope_of_loss

USUAL = ("loss", "anisotropy", "singular_entropy")


def run_curves(run: Run, where: Mapping[str, str], options: CurveOptions) -> list[Curve]:
    """Return the curves of a run's metrics, one for each model and metric, their checkpoints in the order of training.

    The loss has the covariance of its values where all checkpoints were measured on the same windows. Perplexity and
    bits per byte, which follow from it, have that covariance and its floor in their own units, so that all three have
    one verdict.

    Args:
        run: the run.
        where: column of table `checkpoints` -> the value that rows must have in it.
        options: which metrics to read, and how; if it names none, those of loss, anisotropy and singular entropy that
            were measured.

    Raises:
        DegenError: the run lacks a metric or a column, or no row has a value of `where`.
    """
    parts = RunParts(run)
    checkpoints = read_checkpoint_table(parts.checkpoints, run.path, where, options.warn_once)
    # A run has columns for all probes, but values only of those that were run.
    measured = [c for c in checkpoints.layout.likely if not np.isnan(checkpoints.numbers(c)).all()]
    usual = [metric for metric in USUAL if metric in measured]
    if not usual and not options.metrics:
        raise DegenError(
            f"{run.path}: no checkpoint has a value of {', '.join(USUAL)}; name another metric with --metric "
            f"(the run has {', '.join(measured) or 'no other'})"
        )
    curves = []
    for group in group_rows(checkpoints, options, usual, separate=False):
        curve = read_curve(checkpoints, group, options)
        if group.column in ("loss", *OF_LOSS) and np.isfinite(curve.values).any():
            curve = _with_covariance(curve, checkpoints, group, parts, options)
        if group.column in OF_LOSS and options.floors.keys().isdisjoint((group.column, None)):
            curve = replace(curve, floor=_floor_of_loss(curve, checkpoints, group, options))
        curves.append(curve)
    return curves


def checkpoint_curve(
    parts: RunParts, checkpoints: CheckpointTable, model: str, rows: Sequence[int], metric: str
) -> Curve:
    """Return the curve of a metric of whole checkpoints; infinite values are kept, missing ones get a reason.

    Args:
        parts: the run.
        checkpoints: the table `checkpoints` of the run, from `all_checkpoints`.
        model: label of the series.
        rows: the checkpoints of the curve, as indices in `RunParts.rows`; at least one.
        metric: a column of numbers in table `checkpoints`; where the table lacks it, all values are missing.
    """
    if metric not in checkpoints.table.column_names:
        return unmeasured_curve(model, metric, [parts.rows[i] for i in rows])
    group = CurveRows(model, metric, None, metric, np.asarray(rows, dtype=np.int64))
    curve = read_curve(checkpoints, group, plain_options(metric))
    return replace(curve, windows=partial(parts.windows, model)) if metric == "loss" else curve


def all_checkpoints(parts: RunParts) -> CheckpointTable:
    """Return the whole table `checkpoints` of a run, with failed checkpoints, copies and those without a step.

    Its rows are in the order of `RunParts.rows`.
    """
    table = empty_as_numbers(parts.checkpoints)
    return CheckpointTable(
        table=table,
        steps=np.array([UNKNOWN_STEP if row["step"] is None else row["step"] for row in parts.rows], dtype=np.int64),
        models=[row["model"] for row in parts.rows],
        layout=read_layout(table, parts.path),
        path=parts.path,
        stepless=parts.checkpoints.slice(0, 0),
        freedom=parts.freedom,
    )


def _with_covariance(
    curve: Curve, checkpoints: CheckpointTable, group: CurveRows, parts: RunParts, options: CurveOptions
) -> Curve:
    """Return the curve of a loss, or of a metric that follows from it, with the covariance of its values filled in.

    Where the checkpoints were measured on different windows the covariance stays None, with a warning.

    Formula: that of the losses times the slopes dᵢdⱼ of the metric, see `slope_of_loss`. A loss gets its windows, too.
    """
    if not {"document", "tokens", "loss"} <= set(parts.columns(WINDOWS)):
        return curve  # a run without a corpus has none
    measured = [None if p.value is None else p.revision or "" for p in curve.points]
    covariance = parts.loss_covariance(curve.model, measured)
    if covariance is None and curve.errors is not None:
        options.warn_once(
            f"{curve.model}: the checkpoints were not measured on the same windows, so that their losses cannot be "
            "compared window by window"
        )
    if group.column == "loss":
        return replace(curve, covariance=covariance, windows=partial(parts.windows, curve.model))
    slope = slope_of_loss(checkpoints, group.column, group.rows)
    return replace(curve, covariance=None if covariance is None else covariance * np.outer(slope, slope))


def _floor_of_loss(curve: Curve, checkpoints: CheckpointTable, group: CurveRows, options: CurveOptions) -> float:
    """Return the least change of the loss that matters, converted to the unit of a metric that follows from the loss.

    Formulas, with the loss's floor f and best values b: b·(exp f − 1) for perplexity; f·b/b_loss for bits per byte.
    """
    best = best_of(curve.values, curve.better)
    loss = best_of(checkpoints.numbers("loss")[group.rows], curve.better)
    floor = options.floor(curve.model, "loss", "loss", loss, None)
    return best * math.expm1(floor) if group.column == "perplexity" else floor * best / loss
