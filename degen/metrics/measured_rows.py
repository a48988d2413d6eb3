"""The rows of a table that one metric is judged on: in a log, rows of other metrics are no checkpoints that lack it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from degen.arrays import Floats, Ints, Mask

LAST_GAPS = 3  # of these the largest is the usual distance at the end of a curve
IRREGULAR = 2.0  # times the usual distance, from which on a value is due where distances differ
FEW = 0.1  # share of the rows of a log that may repeat a step, or begin anew, without being taken for several series
MOST_RESTARTS = 3  # of a log of few rows


def is_due(measured: Ints, step: int) -> bool:
    """Return whether a metric that was measured up to some step should have been measured again by a later one.

    It is due at its usual distance, the largest of the last three, or at twice that where these three differ; but not
    before the largest distance that occurs more than once after the first quarter, as where every tenth row of a log
    holds another metric in its place. Of a metric that was measured once the distance is unknown, and it is due at any
    later step.

    Args:
        measured: the steps at which it has a value, ascending; at least one.
        step: a later step of the same model.
    """
    gaps = np.diff(measured)[-LAST_GAPS:]
    if not len(gaps):
        return bool(step > measured[-1])
    slack = 1.0 if np.ptp(gaps) == 0 else IRREGULAR
    late = np.diff(measured)[len(measured) // 4 :]
    distances, counts = np.unique(late, return_counts=True)
    recurring = distances[counts > 1].max(initial=0)
    return bool(step - measured[-1] >= max(slack * gaps.max(), recurring))


def measured_rows(steps: Ints, present: Mask) -> Mask:
    """Return a mask of the rows that belong to the curve of a metric.

    These are the rows with a value, and of those without one the ones at which it was due: checkpoints that lack it. It
    was due by `is_due`; between two values, at the larger of the distances before and after them; never in front of
    its first value. All rows belong to the curve of a metric without any value.

    Args:
        steps: of the rows of a model, in any order.
        present: whether each row has a value, perhaps NaN or infinite.
    """
    known = np.unique(steps[present])
    if not len(known) or present.all():
        return np.ones(len(steps), dtype=bool)
    belongs = present.copy()
    empty = np.flatnonzero(~present & (steps > known[0]))
    before = np.searchsorted(known, steps[empty], side="right") - 1  # the last value at or before each
    inner = before < len(known) - 2
    gaps = np.diff(known, prepend=known[0])  # gaps[i] lies before known[i]
    usual = np.maximum(gaps[before], gaps[np.minimum(before + 2, len(known) - 1)])
    belongs[empty[inner & (steps[empty] - known[before] >= usual)]] = True
    for row, last in zip(empty[~inner], before[~inner], strict=True):  # in front of the last value, or behind it
        if last > 0 or last == len(known) - 1:
            belongs[row] = is_due(known[: last + 1], int(steps[row]))
    return belongs


def drop_repeated(steps: Ints, values: Floats, is_log: bool) -> tuple[Mask, Mapping[str, int]]:
    """Return a mask of the rows to keep where a metric has several values at a step, and why others are left out.

    Equal values of a step are one. In a log the values that a restart logs again replace the earlier ones from the step
    where it began: it began behind the first step of the log, else it may be another training, and restarts are few,
    else the rows are in no order. A log may also repeat a few steps in place; there the first value counts, since a
    Trainer that evaluates once more at the end may have loaded its best checkpoint. Other repetitions are kept: nobody
    can tell which value counts.

    Args:
        steps: of the rows of a curve, in the order of the table.
        values: of the metric, NaN where missing.
        is_log: whether the table is a log, in the order of its writing.

    Returns:
        The mask; and reason -> how many rows are left out for it.
    """
    kept = ~_repeats_value(steps, values)
    reasons = Counter({"values that repeat a step with the same value": int((~kept).sum())})
    if not is_log or not kept.any():
        return kept, +reasons
    again = np.flatnonzero(kept)[1:][np.diff(steps[kept]) == 0]
    if len(again) <= max(1, FEW * kept.sum()):
        reasons["values of a step that was logged again"] = len(again)
        kept[again] = False
    rows = np.flatnonzero(kept)
    began = steps[rows][1:][np.diff(steps[rows]) < 0]
    if 0 < len(began) <= max(MOST_RESTARTS, FEW * len(rows)) and began.min() > steps[rows][0]:
        undone = _undone(steps[rows])
        named = ", ".join(str(step) for step in np.unique(began)[:3])
        reasons[f"values before a restart at step {named}"] = int(undone.sum())
        kept[rows[undone]] = False
    return kept, +reasons


def _repeats_value(steps: Ints, values: Floats) -> Mask:
    """Return a mask of the rows that have the step and the value of an earlier row."""
    order = np.lexsort((np.arange(len(steps)), values, steps))
    same = np.zeros(len(steps), dtype=bool)
    if len(order) > 1:
        equal = (np.diff(steps[order]) == 0) & (values[order][1:] == values[order][:-1])
        same[order[1:][equal]] = True
    return same


def _undone(steps: Ints) -> Mask:
    """Return a mask of the rows behind which their own step, or an earlier one, comes again."""
    if len(steps) < 2:
        return np.zeros(len(steps), dtype=bool)
    least_behind = np.minimum.accumulate(steps[::-1])[::-1]
    return np.append(least_behind[1:] <= steps[:-1], False)
