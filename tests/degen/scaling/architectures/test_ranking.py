"""Rankings over compute and planted crossings."""

from __future__ import annotations

import numpy as np
import pytest

from degen.errors import DegenError
from degen.scaling.architectures.columns import Quality
from degen.scaling.architectures.crossings import find_crossings
from degen.scaling.architectures.ranking import find_regions, fit_architecture_lines, rank_regions
from degen.stats.linear_fit import welch_quantile
from degen.tables import Row

C = np.logspace(17, 21, 9)
LABELS = ["a"] * 9 + ["b"] * 9
BOTH = np.concatenate([C, C])


def loss(noise: float = 0.0, seed: int = 0, at: float = 19.0) -> np.ndarray:
    x = np.log10(C) - at
    clean = np.concatenate([3 - 0.20 * x, 3 - 0.15 * x])  # b is better below, a above
    return clean + np.random.default_rng(seed).normal(0, noise, 18) if noise else clean


def compare(values: np.ndarray, flops: np.ndarray = BOTH, regions: int = 4) -> tuple[list[Row], list[Row]]:
    quality, bounds = Quality("loss", values, "min"), find_regions(flops, regions)
    lines = fit_architecture_lines(LABELS, flops, values)
    return rank_regions(lines, bounds, quality), find_crossings(lines, bounds, quality)


def test_ranking_changes_at_the_planted_crossing() -> None:
    ranking, crossings = compare(loss())
    first = {row["region"]: row["architecture"] for row in ranking if row["rank"] == 1}
    assert first == {1: "b", 2: "b", 3: "a", 4: "a"}
    (crossing,) = crossings
    assert (crossing["best_below"], crossing["best_above"], crossing["sure"]) == ("b", "a", True)
    assert crossing["flops"] == pytest.approx(1e19)
    assert crossing["flops_low"] == pytest.approx(1e19)


def test_values_of_the_ranking_are_those_of_the_lines_at_the_centre() -> None:
    ranking, _ = compare(loss(), regions=1)
    best, next_best = ranking
    assert best["flops_centre"] == pytest.approx(1e19)
    assert best["value"] == pytest.approx(3)
    ranking, _ = compare(loss(at=18))
    best, next_best = (row for row in ranking if row["region"] == 4)
    assert best["flops_centre"] == pytest.approx(10**20.5)
    assert best["value"] == pytest.approx(3 - 0.2 * 2.5)
    assert best["gap"] == pytest.approx(next_best["value"] - best["value"])
    assert next_best["gap"] is None
    assert best["points_in_region"] == 3


def test_ranking_is_reversed_where_higher_is_better() -> None:
    lines, regions = fit_architecture_lines(LABELS, BOTH, loss()), find_regions(BOTH, 4)
    quality = Quality("score", loss(), "max")
    assert rank_regions(lines, regions, quality)[0]["architecture"] == "a"
    assert find_crossings(lines, regions, quality)[0]["best_below"] == "a"


def test_architecture_is_not_ranked_beyond_its_points() -> None:
    flops = np.concatenate([C, np.where(C < 3e19, C, np.nan)])
    ranking, crossings = compare(loss(), flops)
    (unranked,) = [row for row in ranking if row["rank"] is None and row["region"] == 4]
    assert unranked["architecture"] == "b"
    assert (unranked["value"], unranked["points_in_region"]) == (None, 0)
    assert "points end at 1e+19 FLOPs" in unranked["reason"]
    assert len(crossings) == 1
    assert compare(loss(at=20.5), flops)[1] == []


def test_crossings_are_in_the_order_of_compute() -> None:
    x = np.log10(C) - 19
    values = np.concatenate([3 - 0.2 * x, 3.1 - 0.1 * x, 2.95 - 0.15 * x])  # a meets b at 10^18, c at 10^20
    labels, flops = ["c"] * 9 + ["a"] * 9 + ["b"] * 9, np.concatenate([C, C, C])
    for order in (np.arange(27), np.arange(27)[::-1], np.roll(np.arange(27), 9)):
        lines = fit_architecture_lines([labels[i] for i in order], flops[order], values[order])
        found = find_crossings(lines, find_regions(flops, 4), Quality("loss", values, "min"))
        assert [row["flops"] for row in found] == pytest.approx(sorted(row["flops"] for row in found))
        assert len(found) > 1


def test_crossing_of_nearly_parallel_lines_has_no_interval() -> None:
    (crossing,) = [c for seed in range(9) for c in compare(loss(0.3, seed))[1]][:1]
    assert crossing["flops_low"] is None
    assert not crossing["sure"]
    assert "slopes do not differ" in crossing["reason"]


def test_coverage_of_the_interval_of_a_crossing_is_its_confidence() -> None:
    held = []
    for seed in range(400):
        for crossing in compare(loss(0.02, seed))[1]:
            held.append(crossing["flops_low"] is None or crossing["flops_low"] <= 1e19 <= crossing["flops_high"])
    assert len(held) > 350
    assert 0.86 <= np.mean(held) <= 0.95


def test_lines_differ_by_t_standard_errors_at_the_ends_of_the_crossings_interval() -> None:
    values = loss(0.05, seed=3, at=20)
    (crossing,) = compare(values)[1]
    a, b = (line.fit for line in fit_architecture_lines(LABELS, BOTH, values))
    assert a is not None
    assert b is not None
    t = welch_quantile(a, b, np.log10(crossing["flops"]), 0.9)
    for end in (crossing["flops_low"], crossing["flops_high"]):
        x = np.log10(end)
        error = np.sqrt(a.variance_at(x) + b.variance_at(x))
        assert abs(a.at(x) - b.at(x)) == pytest.approx(t * error)
    assert a.at(np.log10(crossing["flops"])) == pytest.approx(b.at(np.log10(crossing["flops"])))


def test_coverage_of_the_interval_of_a_gap_is_its_confidence() -> None:
    held = []
    for seed in range(400):
        best = next(row for row in compare(loss(0.02, seed))[0] if row["region"] == 4)
        gap = 0.05 * (np.log10(best["flops_centre"]) - 19)
        held.append(best["gap_low"] <= (gap if best["architecture"] == "a" else -gap) <= best["gap_high"])
    assert 0.86 <= np.mean(held) <= 0.94


def test_regions_are_equal_in_log_flops_or_between_named_edges() -> None:
    regions = find_regions(C, 4)
    assert [region.low for region in regions] == pytest.approx([1e17, 1e18, 1e19, 1e20])
    assert [(r.low, r.high) for r in find_regions(C, [1e17, 1e20, 1e22])] == [(1e17, 1e20), (1e20, 1e22)]
    assert find_regions(np.full(3, 1e18), 4) == []
    for wrong in ([1e18], [1e18, 1e17], [0.0, 1e18], [1e18, np.inf]):
        with pytest.raises(DegenError, match="edges must be positive and rising"):
            find_regions(C, wrong)
    with pytest.raises(DegenError, match="at least 1"):
        find_regions(C, 0)


def test_architecture_of_three_points_has_no_rank() -> None:
    flops, labels = np.append(np.geomspace(1e17, 1e21, 4), [1e17, 1e19, 1e21]), ["four"] * 4 + ["three"] * 3
    values = np.array([3.0, 2.6, 2.3, 2.0, 2.9, 2.5, 2.1])
    quality, regions = Quality("loss", values, "min"), find_regions(flops, 1)
    four, three = rank_regions(fit_architecture_lines(labels, flops, values), regions, quality)
    assert (four["rank"], three["rank"]) == (1, None)
    assert four["value_low"] < four["value"] < four["value_high"]
    assert "a slope needs 4" in three["reason"]
