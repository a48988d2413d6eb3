"""Read curves from table `checkpoints` of a run, losses with their covariance from its table `windows`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from degen.errors import DegenError
from degen.runs.run import Run
from degen.tables import CHECKPOINTS

from .checkpoint_table import CheckpointTable, read_checkpoint_table
from .columns import texts
from .curve import Curve
from .curve_options import CurveOptions
from .run_parts import WINDOWS, RunParts
from .table_curves import CurveRows, group_rows, read_curve

USUAL = ("loss", "anisotropy", "singular_entropy")


def run_curves(run: Run, where: Mapping[str, str], options: CurveOptions) -> list[Curve]:
    """Read the curves of a run's metrics, in training order.

    The loss has the covariance of its values where all checkpoints were measured on the same windows.

    Args:
        run: the run.
        where: values of columns of `checkpoints` that rows must have.
        options: of the curves; without metrics, those of loss, anisotropy and singular entropy that were measured.

    Raises:
        DegenError: a metric, column or value that the run does not have.
    """
    checkpoints = read_checkpoint_table(run.table(CHECKPOINTS), run.path, where, options.warn_once)
    # A run has columns for all probes, but values only of those that were run.
    measured = [c for c in checkpoints.layout.likely if not np.isnan(checkpoints.numbers(c)).all()]
    usual = [metric for metric in USUAL if metric in measured]
    if not usual and not options.metrics:
        raise DegenError(
            f"{run.path}: no value of {', '.join(USUAL)} at any checkpoint; name a metric "
            f"(it has {', '.join(measured) or 'no other either'})"
        )
    parts = RunParts(run)
    curves = []
    for group in group_rows(checkpoints, options, usual, separate=False):
        curve = read_curve(checkpoints, group, options)
        if group.column == "loss" and np.isfinite(curve.values).any():
            curve = _with_windows(curve, group, checkpoints, parts, options)
        curves.append(curve)
    return curves


def _with_windows(
    curve: Curve, group: CurveRows, checkpoints: CheckpointTable, parts: RunParts, options: CurveOptions
) -> Curve:
    """Return a loss with its windows and covariance; without the latter, and with a warning, where windows differ."""
    if not {"document", "tokens", "loss"} <= set(parts.columns(WINDOWS)):
        return curve  # a run without a corpus has none
    names = texts(checkpoints.table, "revision")
    revisions = [names[row] or "" for row in group.rows]
    measured = [None if np.isnan(value) else name for name, value in zip(revisions, curve.values, strict=True)]
    covariance = parts.loss_covariance(curve.model, measured)
    if covariance is None and curve.errors is not None:
        options.warn_once(
            f"{curve.model}: its checkpoints were not measured on the same windows; losses are not paired"
        )
    return replace(curve, covariance=covariance, revisions=revisions, windows=partial(parts.windows, curve.model))
