"""The bottleneck rank: its curve, its interval, the methods it is told for, and heads that still learn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from degen.rank.bottleneck_rank import best_method, bottleneck_of_method, bottleneck_rank
from degen.stats.jackknife import ratio_error

RANKS = (4, 8, 16, 32)


def test_it_is_the_smallest_measured_rank_within_reach_with_an_interval() -> None:
    gaps, errors = [0.9, 0.06, 0.05, 0.0], [0.1, 0.01, 0.001, 0.0]
    columns = bottleneck_rank(RANKS, gaps, errors)
    assert list(columns.values()) == [32, 8, 32]  # a gap of exactly 0.05 is not below it
    assert bottleneck_rank(RANKS, gaps, errors, within=0.051)["bottleneck_rank"] == 16
    assert bottleneck_rank(RANKS, gaps, errors, within=1.0)["bottleneck_rank"] == 4
    assert set(bottleneck_rank([4, 8], [0.9, float("nan")], [None, None]).values()) == {None}
    assert bottleneck_rank(RANKS[::-1], gaps[::-1], errors[::-1]) == columns


def test_ends_are_those_of_students_t() -> None:
    for documents, quantile in ((2, 12.7062), (3, 4.30265), (50, 2.00958)):  # of published tables
        for nudge, low, high in ((0.999, 8, 8), (1.001, 4, 16)):
            below, above = 0.05 + 0.01 * quantile / nudge, -0.05  # a gap of -0.05 has an upper end twice as far off
            errors = [0.01, 0.1 / (2 * quantile) * nudge, 0.0]
            columns = bottleneck_rank([4, 8, 16], [below, above, 0.0], errors, freedom=documents - 1)
            assert (columns["bottleneck_rank_low"], columns["bottleneck_rank_high"]) == (low, high)


def test_the_upper_end_of_a_gap_is_that_of_a_log_scale_to_second_order() -> None:
    gap, error = 1.0, 0.1 / 1.959963984540054  # 1.959964 of the normal distribution
    upper = gap + 0.1 * (1 + 0.1 / 2)
    assert upper == pytest.approx(gap * math.exp(0.1), rel=2e-4)
    for within, high in ((upper + 1e-6, 4), (upper - 1e-6, 8)):
        assert bottleneck_rank([4, 8], [gap, 0.0], [error, 0.0], within)["bottleneck_rank_high"] == high


def test_one_document_has_no_interval() -> None:
    columns = bottleneck_rank(RANKS, [0.9, 0.03, 0.01, 0.0], [None] * 4)
    assert list(columns.values()) == [8, None, None]


def test_a_gap_that_dips_by_chance_is_no_bottleneck_rank() -> None:
    """The nearest curve that does not rise: 0.04 and 0.08 of one error are 0.06 both."""
    gaps, errors = [0.3, 0.04, 0.08, 0.01], [0.02] * 4
    assert bottleneck_rank(RANKS, gaps, errors)["bottleneck_rank"] == 32
    assert bottleneck_rank(RANKS, gaps, [0.02, 0.001, 0.02, 0.02])["bottleneck_rank"] == 8  # one is nearly certain


@given(
    st.lists(st.tuples(st.floats(-0.1, 1), st.floats(0, 0.3)), min_size=1, max_size=8), st.one_of(st.none(), st.just(2))
)
@example([(0.0, 1e-200), (0.0, 1e-220)], None)  # errors whose squares no float can hold
def test_the_interval_holds_the_rank(points: list[tuple[float, float]], freedom: int | None) -> None:
    gaps, errors = ([point[i] for point in points] for i in (0, 1))
    ranks = [2**k for k in range(len(points))]
    columns = bottleneck_rank(ranks, gaps, errors, freedom=freedom)
    low, rank, high = (
        math.inf if columns[f"bottleneck_rank{end}"] is None else columns[f"bottleneck_rank{end}"]
        for end in ("_low", "", "_high")
    )
    assert low <= rank <= high


@pytest.mark.parametrize("documents", [3, 4, 10, 50])
@pytest.mark.parametrize("near", [0.0499, 0.0501])
def test_the_interval_covers_the_true_rank(documents: int, near: float) -> None:
    """The hardest truth: a gap at the bound itself. Documents have gaps of their own, with a long tail, and lengths."""
    draw = np.random.default_rng(documents)
    truth = np.asarray([0.4, 0.15, near, 0.0])
    rank = RANKS[2] if near < 0.05 else RANKS[3]
    covered = 0
    for _ in range(400):
        lengths = draw.integers(100, 513, size=documents).astype(float)
        own = draw.gamma(4, 1 / 4, size=(documents, 1))  # of mean 1
        gaps = truth * own + 0.02 * truth * draw.normal(size=(documents, 4))
        nats = gaps * lengths[:, None]
        errors = [ratio_error(nats[:, k], lengths, np.arange(documents)) for k in range(4)]
        columns = bottleneck_rank(RANKS, (nats.sum(0) / lengths.sum()).tolist(), errors, freedom=documents - 1)
        low, high = columns["bottleneck_rank_low"], columns["bottleneck_rank_high"]
        covered += low is not None and low <= rank and (high is None or high >= rank)
    assert stats.binomtest(covered, 400, 0.92, alternative="less").pvalue > 0.01


def rows_of(gaps: list[float], method: str = "trained") -> list[dict[str, Any]]:
    return [
        {"rank": r, "method": method, "loss": 3 + g, "loss_gap": g, "loss_gap_se": 0.001}
        for r, g in zip(RANKS, gaps, strict=True)
    ]


@pytest.mark.parametrize(
    ("falls", "expected"),
    [
        ([0.0, 0.0, 0.0, 0.0], 16),
        ([0.1, 0.0, 0.0, 0.0], 16),  # 0.9 cannot fall to 0.05
        ([math.inf, 0.0, 0.0, 0.0], None),
        ([0.0, 0.06, 0.0, 0.0], None),  # 0.1 might
        ([0.0, 0.0, 0.01, 0.0], None),  # within reach, but who knows how far it goes
        ([0.0, 0.0, 0.0, 0.01], 16),  # larger ranks decide nothing
    ],
)
def test_a_head_that_still_learns_gives_no_bottleneck_rank(falls: list[float], expected: int | None) -> None:
    columns = bottleneck_of_method(rows_of([0.9, 0.1, 0.01, 0.0]), falls, 0.05, 9)
    assert columns["bottleneck_rank"] == expected
    if expected is None:
        assert set(columns.values()) == {None}


def test_the_best_method_is_that_of_the_smallest_rank_and_then_of_the_least_loss() -> None:
    whitened, trained = rows_of([0.9, 0.1, 0.02, 0.0], "whitened"), rows_of([0.7, 0.04, 0.01, 0.0])
    equal = rows_of([0.9, 0.1, 0.01, 0.0])

    def best(*methods: list[dict[str, Any]]) -> Any:
        by_method = {m[0]["method"]: bottleneck_of_method(m, [0.0] * 4, 0.05, 9) for m in methods}
        return best_method(by_method, [row for m in methods for row in m])

    columns = best(whitened, trained)
    assert (columns["bottleneck_rank"], columns["bottleneck_rank_method"]) == (8, "trained")
    assert best(whitened, equal)["bottleneck_rank_method"] == "trained"
    assert best(equal, whitened)["bottleneck_rank_method"] == "trained"
    twin = [row | {"loss": row["loss"] + 1e-7} for row in rows_of([0.9, 0.1, 0.01, 0.0], "whitened")]
    assert best(equal, twin)["bottleneck_rank_method"] == "whitened"  # equal in float32, and last
    none = best(rows_of([0.9, 0.8, 0.7, 0.6], "whitened"))
    assert set(none.values()) == {None}
    assert set(none) == set(columns)
