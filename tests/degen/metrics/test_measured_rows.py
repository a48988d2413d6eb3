"""Which rows of a log one metric is judged on, and which of several values at a step counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degen.metrics.measured_rows import drop_repeated, is_due, measured_rows


def kept_steps(steps: list[int], values: list[float | None]) -> list[int]:
    """Return the steps of the rows that belong to the curve; a value of None is an empty cell."""
    present = np.array([value is not None for value in values])
    return np.array(steps)[measured_rows(np.array(steps), present)].tolist()


@pytest.mark.parametrize(
    ("measured", "step", "due"),
    [
        ([100, 200, 300], 399, False),
        ([100, 200, 300], 400, True),
        ([1, 2, 4, 8, 16], 31, False),  # doubling: the next would be 32
        ([1, 2, 4, 8, 16], 32, True),
        ([97, 203, 311], 420, False),  # by the clock
        ([97, 203, 311], 530, True),
        ([100, 200, 400, 500, 600, 700], 800, True),  # a hole long ago
        ([*range(50, 500, 50), *range(550, 1000, 50), *range(1050, 1500, 50)], 1500, False),  # or another
        ([*range(50, 500, 50), *range(550, 1000, 50), *range(1050, 1500, 50)], 1550, True),
        ([500], 501, True),  # once: the distance is unknown
        ([500], 500, False),
    ],
)
def test_a_metric_is_due_at_its_usual_distance(measured: list[int], step: int, due: bool) -> None:
    assert is_due(np.array(measured), step) is due


def test_rows_of_other_metrics_are_no_checkpoints() -> None:
    steps = [100, 100, 150, 200, 200, 250, 300, 300, 350]
    values = [None, 3.0, None, None, 2.0, None, None, 1.0, None]
    assert kept_steps(steps, values) == [100, 200, 300]


def test_a_hole_in_a_regular_curve_is_a_checkpoint_that_lacks_the_metric() -> None:
    assert kept_steps([1000, 2000, 3000, 4000, 5000, 6000], [6, 5, None, 3, 2, 1]) == [
        1000,
        2000,
        3000,
        4000,
        5000,
        6000,
    ]
    assert kept_steps([1000, 2000, 3000, 4000], [4, None, 2, 1]) == [1000, 2000, 3000, 4000]
    assert kept_steps([1000, 2000, 3000, 4000], [4, 3, 2, None]) == [1000, 2000, 3000, 4000]
    assert kept_steps([1, 2, 4, 6, 8, 12, 16], [5, 4, 3, None, 2, None, 1]) == [1, 2, 4, 8, 16]


def test_a_metric_that_stops_is_missing_at_the_end() -> None:
    assert kept_steps([10, 20, 30, 35, 40, 90], [1, 1, 1, None, None, None]) == [10, 20, 30, 40, 90]


def test_a_metric_without_any_value_keeps_its_rows() -> None:
    assert kept_steps([1, 2, 3], [None, None, None]) == [1, 2, 3]


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=30))
def test_every_value_belongs_to_its_curve_and_order_makes_no_difference(rows: list[tuple[int, bool]]) -> None:
    steps, present = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    belongs = measured_rows(steps, present)
    assert belongs[present].all()
    order = np.random.default_rng(len(rows)).permutation(len(rows))
    np.testing.assert_array_equal(measured_rows(steps[order], present[order]), belongs[order])


def repeated(
    steps: list[int], values: list[float], is_log: bool = True
) -> tuple[list[tuple[int, float]], dict[str, int]]:
    mask, reasons = drop_repeated(np.array(steps), np.array(values), is_log)
    return [(s, v) for s, v, keep in zip(steps, values, mask, strict=True) if keep], dict(reasons)


def test_equal_values_of_a_step_are_one_in_any_table() -> None:
    for is_log in (True, False):
        kept, reasons = repeated([1, 1, 2, 3, 2], [5.0, 5.0, 4.0, 3.0, 4.0], is_log)
        assert kept == [(1, 5), (2, 4), (3, 3)]
        assert reasons == {"values that repeat a step with the same value": 2}


def test_a_restart_replaces_what_was_undone() -> None:
    kept, reasons = repeated([10, 20, 30, 35, 20, 30, 40], [9, 8, 7, 6.5, 8.1, 7.1, 6])
    assert kept == [(10, 9), (20, 8.1), (30, 7.1), (40, 6)]
    assert reasons == {"values before a restart at step 20": 3}
    assert repeated([10, 20, 30, 20, 30], [9, 8, 7, 8.1, 7.1], is_log=False)[1] == {}


def test_a_restart_may_log_a_step_twice_in_place() -> None:
    steps = [10, 20, 30, 40, 50, 60, 70, 80, 90, 90, 80, 90]
    kept, reasons = repeated(steps, [float(value) for value in range(12, 0, -1)])
    assert kept == [(10 * i, 13.0 - i) for i in range(1, 8)] + [(80, 2), (90, 1)]
    assert reasons == {"values of a step that was logged again": 1, "values before a restart at step 80": 2}


def test_a_training_that_begins_anew_replaces_nothing() -> None:
    steps, values = [0, 10, 20, 0, 10, 20], [9.0, 8, 7, 9.5, 8.5, 7.5]
    assert repeated(steps, values) == (list(zip(steps, values, strict=True)), {})


def test_a_step_logged_twice_in_place_counts_once_but_not_where_every_step_does() -> None:
    kept, reasons = repeated([10, 20, 30, 30], [9, 8, 7, 6.9])
    assert kept == [(10, 9), (20, 8), (30, 7)]
    assert reasons == {"values of a step that was logged again": 1}
    steps, values = [10, 10, 20, 20, 30, 30], [9.0, 5, 8, 4, 7, 3]
    assert repeated(steps, values) == (list(zip(steps, values, strict=True)), {})


def test_missing_values_repeat_nothing() -> None:
    kept, reasons = repeated([1, 1, 2], [np.nan, np.nan, 1.0], is_log=False)
    assert len(kept) == 3
    assert reasons == {}
