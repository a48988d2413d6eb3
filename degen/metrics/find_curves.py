"""Find courses in whatever a user names: a run, a table, a folder of parts, results of lm-evaluation-harness."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from degen.errors import DegenError
from degen.runs.run import read_run
from degen.tables import CHECKPOINTS

from .checkpoint_table import read_sheet
from .curve import Better, Course
from .curve_options import Wishes
from .lm_eval_results import is_results, read_results
from .metric_kinds import Floor
from .read_table import has_parts, read_table_file
from .run_curves import run_courses
from .table_curves import Series, course_of, find_series

if TYPE_CHECKING:
    import pyarrow as pa

Found = list[tuple[Series, Course]]


def find_courses(
    target: Path,
    *,
    metrics: Sequence[str] = (),
    where: Mapping[str, str] = {},
    better: Better | None = None,
    floors: Mapping[str | None, Floor] = {},
    sort: bool = False,
    warn: Callable[[str], None],
) -> list[Course]:
    """The courses in what a user named, model by model.

    A run folder gives its loss, anisotropy and singular entropy; a table, wide (a column a metric) or long (columns
    `metric` and `value`), the metrics whose names say what they are, or all. Text columns such as `task`, and numbers
    called `seed` or `layer`, tell series apart and go before the metric's name: `lambada_openai/acc`.

    Args:
        target: a run folder, a CSV or Parquet file, a folder of Parquet parts, or of result files of
            lm-evaluation-harness.
        metrics: names of metrics, bare or whole; empty for the usual ones.
        where: values that columns must have.
        better: which way is better; None to go by the metrics' names.
        floors: least changes that matter by bare or whole name; None names all the rest.
        sort: put rows in the order of their steps. Folders of parts and of result files have no order of their own,
            so theirs always are.
        warn: called with each line of warning.

    Returns:
        At least one course. A metric that a model has nowhere is there as well, all NaN.

    Raises:
        DegenError: nothing there, or not what was asked for.
    """
    target = target.expanduser()
    wishes = Wishes(metrics, better, floors, sort, warn)
    try:
        found = _found(target, where, wishes)
    except OSError as error:
        raise DegenError(f"{target}: cannot be read ({error.strerror or error})") from error
    wishes.check_floors(target, [name for s, _ in found for name in (s.metric, s.name)])
    return _told(found)


def _found(target: Path, where: Mapping[str, str], wishes: Wishes) -> Found:
    if not target.is_dir():
        if target.suffix == ".json":
            raise DegenError(f"{target}: a JSON file; for results of lm-evaluation-harness, name the folder it is in")
        return _table_courses(read_table_file(target), target, where, wishes)
    if (target / "run.json").is_file():
        return run_courses(read_run(target), where, wishes)
    inside = target if target.name not in ("", "..") else target.resolve()
    if (inside.parent / "run.json").is_file():
        run = read_run(inside.parent)
        if inside.name == CHECKPOINTS:
            return run_courses(run, where, wishes)
        return _table_courses(run.table(inside.name), target, where, wishes)
    if has_parts(target):
        wishes.sort = True
        return _table_courses(read_table_file(target), target, where, wishes)
    if is_results(target):
        wishes.sort = True
        return _table_courses(read_results(target, wishes.tell), target, where, wishes)
    raise DegenError(
        f"{target}: no run (run.json), no Parquet parts and no results of lm-evaluation-harness in it; "
        "name a folder that holds one of them, or a table"
    )


def _table_courses(table: pa.Table, place: Path, where: Mapping[str, str], wishes: Wishes) -> Found:
    sheet = read_sheet(table, place, where, wishes)
    if not sheet.layout.metrics:
        raise DegenError(f"{place}: no column of numbers beside the steps; add one for the metric")
    if not sheet.layout.usual and not wishes.metrics:
        there = ", ".join(sheet.layout.metrics)
        raise DegenError(f"{place}: nothing but steps, sizes and errors in it; name a metric with --metric ({there})")
    series = find_series(sheet, wishes, sheet.layout.usual)
    return [(s, course_of(sheet, s, wishes)) for s in series]


def _told(found: Found) -> list[Course]:
    """The courses without those of a task that lacks a metric which the model's other tasks have."""
    there = {(series.model, series.metric) for series, course in found if np.isfinite(course.values).any()}
    return [
        course
        for series, course in found
        if np.isfinite(course.values).any() or (series.model, series.metric) not in there
    ]
