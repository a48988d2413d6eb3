"""Rank correlations against scipy and by simulation; planted and published reversals."""

from __future__ import annotations

import math
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest

from degen.scaling.architectures.columns import Quality
from degen.scaling.architectures.reversals import ALL, correlate, find_reversals
from degen.stats.correlation import kendall, spearman

# Scale Efficiently (arXiv 2109.10686): 3.6B wide and 3.8B deep; upstream is the negative log-perplexity.
UPSTREAM = Quality("upstream", np.array([-1.46, -1.49]), "max")
DOWNSTREAM = [
    Quality("glue", np.array([85.1, 86.9]), "max"),
    Quality("superglue", np.array([76.5, 79.9]), "max"),
    Quality("squad", np.array([88.1, 89.5]), "max"),
]


def test_published_reversal_is_reported() -> None:
    reversals = find_reversals(["wide", "deep"], UPSTREAM, DOWNSTREAM)
    rows = reversals.rows()
    assert [row["downstream"] for row in rows] == ["glue", "superglue", "squad"]
    for row in rows:
        assert (row["better_upstream"], row["better_downstream"], row["on_all"]) == ("wide", "deep", True)
        assert row["within_noise"] is None
    counted = correlate(reversals)
    assert [(row["downstream"], row["pairs"], row["reversals"]) for row in counted] == [
        ("glue", 1, 1), ("superglue", 1, 1), ("squad", 1, 1), (ALL, 1, 1),
    ]  # fmt: skip
    assert all(row["spearman"] is None and "2 points" in row["reason"] for row in counted)


def test_published_reversal_is_the_same_with_upstream_as_a_loss() -> None:
    (row,) = find_reversals(["wide", "deep"], Quality("loss", -UPSTREAM.values, "min"), DOWNSTREAM[:1]).rows()
    assert row["better_upstream"] == "wide"
    assert row["upstream_values"] == [1.46, 1.49]


def test_reversals_equal_brute_force() -> None:
    rng = np.random.default_rng(0)
    loss, score = rng.integers(0, 9, 20) / 3, rng.integers(0, 9, 20) / 3
    score[3] = np.nan
    names = [str(i) for i in range(20)]
    planted = {
        (names[i], names[j])
        for i in range(20)
        for j in range(20)
        if loss[i] < loss[j] and score[i] < score[j]
    }  # fmt: skip
    reversals = find_reversals(names, Quality("loss", loss, "min"), [Quality("score", score, "max")])
    rows = reversals.rows()
    assert {(row["better_upstream"], row["better_downstream"]) for row in rows} == planted
    assert len(rows) == reversals.count == len(planted)
    away = [abs(row["upstream_values"][0] - row["upstream_values"][1]) for row in rows]
    assert away == sorted(away, reverse=True)
    assert reversals.rows(limit=3) == rows[:3]
    (counted,) = correlate(reversals)
    known = [i for i in range(20) if i != 3]
    ordered = [(i, j) for i, j in combinations(known, 2) if loss[i] != loss[j] and score[i] != score[j]]
    assert (counted["pairs"], counted["reversals"]) == (len(ordered), len(planted))


def test_ties_and_equal_order_are_no_reversals() -> None:
    up = Quality("up", np.array([1.0, 2.0, 2.0]), "max")
    assert find_reversals(list("abc"), up, [Quality("down", np.array([1.0, 3.0, 2.0]), "max")]).rows() == []


def test_reversal_within_noise_is_marked() -> None:
    values, score = np.array([2.0, 2.1]), Quality("acc", np.array([0.5, 0.6]), "max", np.array([0.01, 0.01]))
    for error, within in ((0.001, False), (0.1, True), (np.nan, None)):
        upstream = Quality("loss", values, "min", np.full(2, error))
        reversals = find_reversals(["a", "b"], upstream, [score])
        assert reversals.rows()[0]["within_noise"] is within
        (counted,) = correlate(reversals)
        assert counted["beyond_noise"] == {False: 1, True: 0, None: None}[within]
    noisy = Quality("acc", score.values, "max", np.array([0.1, 0.1]))  # one of the two within its noise is enough
    reversals = find_reversals(["a", "b"], Quality("loss", values, "min"), [noisy, score])
    assert [row["within_noise"] for row in reversals.rows()] == [True, None]
    assert [row["beyond_noise"] for row in correlate(reversals)] == [0, None, 0]  # on all at once: one is doubtful


@pytest.mark.parametrize("levels", [3, 1000])
def test_rank_correlations_equal_scipy(levels: int) -> None:
    from scipy.stats import kendalltau, spearmanr

    rng = np.random.default_rng(levels)
    x, y = (rng.integers(0, levels, 15).astype(float) for _ in range(2))
    assert spearman(x, y).value == pytest.approx(spearmanr(x, y).statistic)
    assert kendall(x, y).value == pytest.approx(kendalltau(x, y).statistic)


@pytest.mark.parametrize(("points", "r"), [(6, 0.0), (10, 0.6), (20, 0.98), (25, 0.9)])
def test_coverage_of_rank_correlation_intervals_is_their_confidence(points: int, r: float) -> None:
    """Of normal pairs with correlation r: ρ = (6/π) asin(r/2), τ = (2/π) asin r."""
    rng, draws = np.random.default_rng(points), 250
    rho, tau, held = 6 / math.pi * math.asin(r / 2), 2 / math.pi * math.asin(r), np.zeros(2)
    for _ in range(draws):
        x = rng.normal(size=points)
        y = r * x + math.sqrt(1 - r * r) * rng.normal(size=points)
        for i, (result, true) in enumerate(((spearman(x, y), rho), (kendall(x, y), tau))):
            assert result.low is not None
            assert result.high is not None
            held[i] += result.low <= true <= result.high
    assert (held / draws > 0.85).all()


def test_interval_of_a_perfect_rank_correlation_has_a_width() -> None:
    x = np.arange(8.0)
    for result in (spearman(x, x**3), kendall(x, x**3)):
        assert result.value == pytest.approx(1)
        assert result.high == 1
        assert result.low is not None
        assert 0.5 < result.low < 0.95
    opposite = spearman(x, -x)
    assert opposite.value == pytest.approx(-1)
    assert opposite.low == -1


@pytest.mark.parametrize(("x", "reason"), [(np.arange(4.0), "4 points"), (np.ones(9), "the same at all points")])
def test_rank_correlation_of_too_few_points_has_a_reason(x: np.ndarray, reason: str) -> None:
    y = np.arange(len(x), dtype=np.float64)
    for result in (spearman(x, y), kendall(x, y)):
        assert (result.value, result.low, result.high) == (None, None, None)
        assert reason in str(result.reason)


@pytest.mark.parametrize(("gap", "within"), [(4.9, True), (5.1, False)])
def test_standard_errors_of_two_models_add_as_squares(gap: float, within: bool) -> None:
    z = NormalDist().inv_cdf(0.95)
    upstream = Quality("loss", np.array([1.0, 9.0]), "min", np.zeros(2))
    downstream = Quality("score", np.array([0.0, gap * z]), "max", np.array([3.0, 4.0]))
    (row,) = find_reversals(["a", "b"], upstream, [downstream], 0.9).rows()
    assert row["within_noise"] is within
