"""Courses out of a run folder: its table `checkpoints`, paired by its table `windows`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.runs.run import Run
from degen.tables import CHECKPOINTS

from .checkpoint_table import Sheet, read_sheet
from .columns import texts
from .curve import Course
from .curve_options import Wishes
from .table_curves import Series, course_of, find_series
from .window_losses import paired_covariance, window_losses

if TYPE_CHECKING:
    import pyarrow as pa

USUAL = ("loss", "anisotropy", "singular_entropy")
WINDOWS = "windows"


def run_courses(run: Run, where: Mapping[str, str], wishes: Wishes) -> list[tuple[Series, Course]]:
    """The courses of a run's metrics, in training order.

    The loss comes with the covariance of its values wherever all checkpoints were measured on the same windows.

    Args:
        run: the run.
        where: values of columns of `checkpoints` that rows must have.
        wishes: what was asked for; without metrics, those of loss, anisotropy and singular entropy that there are.

    Returns:
        Every series with its course.

    Raises:
        DegenError: what was asked for is not there.
    """
    sheet = read_sheet(run.table(CHECKPOINTS), run.path, where, wishes)
    # A run has the columns of every probe, and values of those that were asked for.
    there = [c for c in sheet.layout.likely if not np.isnan(sheet.numbers(c)).all()]
    usual = [metric for metric in USUAL if metric in there]
    if not usual and not wishes.metrics:
        raise DegenError(
            f"{run.path}: no value of {', '.join(USUAL)} at any checkpoint; name a metric "
            f"(it has {', '.join(there) or 'no other either'})"
        )
    pairs = _Pairs(run, sheet, wishes)
    found = []
    for series in find_series(sheet, wishes, usual, tell_apart=False):
        course = course_of(sheet, series, wishes)
        if series.column == "loss" and np.isfinite(course.values).any():
            course = replace(course, covariance=pairs.covariance(series, course))
        found.append((series, course))
    return found


class _Pairs:
    """The windows of a run, read when they are first needed."""

    def __init__(self, run: Run, sheet: Sheet, wishes: Wishes) -> None:
        self._run = run
        self._tell = wishes.tell
        self._revisions = texts(sheet.table, "revision")

    @cached_property
    def _windows(self) -> pa.Table | None:
        """The table, if it has what is needed; a run without a corpus has none."""
        table = self._run.table(WINDOWS) if WINDOWS in self._run.tables else None
        return table if table is not None and {"document", "tokens", "loss"} <= set(table.column_names) else None

    def covariance(self, series: Series, course: Course) -> Floats | None:
        """The covariance of a model's losses; None, with a word on why, where windows differ."""
        if self._windows is None:
            return None
        measured = ~np.isnan(course.values)
        own = window_losses(self._windows, series.model)
        revisions = [self._revisions[row] or "" for row in series.rows]
        covariance = None
        if all(name in own for name, known in zip(revisions, measured, strict=True) if known):
            checkpoints = [own[name] if known else None for name, known in zip(revisions, measured, strict=True)]
            covariance = paired_covariance(checkpoints)
        if covariance is None and course.errors is not None:
            self._tell(f"{series.model}: its checkpoints were not measured on the same windows; losses are not paired")
        return covariance
