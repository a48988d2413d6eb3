"""The frontier against brute force, and what must not change it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degen.errors import DegenError
from degen.scaling.architectures.columns import Cost, Quality
from degen.scaling.architectures.pareto import find_frontier, find_pair_frontiers, frontier

small = st.integers(0, 4)
tables = st.integers(1, 4).flatmap(
    lambda columns: st.lists(st.tuples(*[small] * columns), min_size=1, max_size=12).map(
        lambda rows: np.array(rows, dtype=np.float64)
    )
)


def beats(a: list[float], b: list[float]) -> bool:
    """Whether a dominates b, by the definition."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


@settings(max_examples=60, deadline=None)
@given(tables)
def test_frontier_equals_brute_force(values: np.ndarray) -> None:
    rows = values.tolist()
    assert frontier(values).tolist() == [not any(beats(other, row) for other in rows) for row in rows]


@settings(max_examples=40, deadline=None)
@given(tables, st.randoms(use_true_random=False))
def test_frontier_does_not_depend_on_order_or_units(values: np.ndarray, random: object) -> None:
    order = np.arange(len(values))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert frontier(values[order]).tolist() == frontier(values)[order].tolist()
    assert frontier(np.exp(values) * 3 - 7).tolist() == frontier(values).tolist()


@settings(max_examples=40, deadline=None)
@given(tables.filter(lambda values: len(values) > 1 and values.shape[1] > 1))
def test_dominated_point_names_a_point_of_the_frontier_that_dominates_it(values: np.ndarray) -> None:
    names = [f"p{i}" for i in range(len(values))]

    def frontier_rows(table: np.ndarray) -> list[dict[str, object]]:
        costs = [Cost(f"c{k}", table[:, k]) for k in range(table.shape[1] - 1)]
        return find_frontier(names, costs, [Quality("loss", table[:, -1], "min")])

    rows = frontier_rows(values)
    for i, row in enumerate(rows):
        if row["frontier"]:
            assert (row["dominated_by"], row["dominators"]) == (None, 0)
            continue
        by = names.index(str(row["dominated_by"]))
        assert rows[by]["frontier"]
        assert beats(values[by].tolist(), values[i].tolist())
    scaled = frontier_rows(np.exp(values))  # the nearest is by ranks, so logarithms change nothing
    assert [row["dominated_by"] for row in scaled] == [row["dominated_by"] for row in rows]


def test_dominated_point_names_the_nearest_and_equal_points_are_marked() -> None:
    costs = [Cost("N", np.array([1.0, 2.0, 2.0, 3.0, 9.0]))]
    rows = find_frontier(list("abcde"), costs, [Quality("acc", np.array([0.3, 0.5, 0.5, 0.4, 0.6]), "max")])
    assert [row["frontier"] for row in rows] == [True, True, True, False, True]
    assert rows[3]["dominated_by"] == "b"
    assert rows[3]["dominators"] == 2
    assert rows[2]["same_as"] == "b"


def test_points_with_missing_values_are_left_out_of_the_frontier_with_a_reason() -> None:
    costs = [Cost("N", np.array([1.0, 2.0, np.nan]))]
    rows = find_frontier(list("abc"), costs, [Quality("loss", np.array([3.0, 2.0, 1.0]), "min")])
    assert [row["frontier"] for row in rows] == [True, True, None]
    assert rows[2]["reason"] == "N missing"
    assert rows[2]["loss"] == 1.0
    with pytest.raises(DegenError, match="needs at least 2 points that have N and loss, and there are 1"):
        find_frontier(["a", "b"], [Cost("N", np.array([1.0, np.nan]))], [Quality("loss", np.ones(2), "min")])


def test_each_pair_of_cost_and_quality_has_its_frontier() -> None:
    costs = [Cost("N", np.array([1.0, 2.0, 3.0])), Cost("seconds", np.array([9.0, 1.0, 5.0]))]
    rows = find_pair_frontiers(list("abc"), costs, [Quality("loss", np.array([3.0, 2.5, 2.0]), "min")])
    assert [row["frontier"] for row in rows] == [["a", "b", "c"], ["b", "c"]]


def test_frontier_needs_separate_columns_of_cost_and_quality() -> None:
    with pytest.raises(DegenError, match="--cost N"):
        find_frontier(["a", "b"], [Cost("N", np.ones(2))], [Quality("N", np.ones(2), "max")])
    with pytest.raises(DegenError, match="--cost and --quality"):
        find_frontier(["a", "b"], [Cost("N", np.ones(2))], [])
