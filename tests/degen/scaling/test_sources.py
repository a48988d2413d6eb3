"""Columns of text that name sources with laws of their own are found, and random labels are not."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_points import cloud, kaplan, noisy, points_of, profiles
from scipy.stats import f as fisher

from degen.arrays import Floats
from degen.laws.law import HOFFMANN, Law, fit_law
from degen.scaling.fit import FitOptions, fit
from degen.scaling.points import Points
from degen.scaling.sources import SourceColumn, find_source_column
from degen.stats.bootstrap import Bootstrap
from degen.stats.group_offsets import compare_offsets

FIXED = {"alpha": 0.34, "beta": 0.28}


def source_of(points: Points, **more: Any) -> SourceColumn | None:
    """The source column of points about their law, with further columns."""
    n, d, loss = points.parameters, points.tokens, points.loss
    fitted = fit_law(n, d, loss, fixed=FIXED, objective="huber", start=HOFFMANN)
    table = points_of(parameters=n, tokens=d, loss=loss, **more)
    residuals = np.log(loss / fitted.law.loss(n, d))
    return find_source_column(table, np.log(np.stack([n, d], axis=1)), residuals, fitted.jacobian)


def test_offsets_are_tested_by_the_f_test_of_two_regressions() -> None:
    draw = np.random.default_rng(0)
    design, groups = np.stack([np.ones(30), draw.normal(size=30)], axis=1), draw.integers(0, 3, 30)
    y = draw.normal(size=30) + 0.5 * groups
    dummies = (groups[:, None] == np.arange(3)).astype(float)

    def rss(columns: Floats) -> float:
        return float(np.sum((y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]) ** 2))

    without, with_offsets = rss(design), rss(np.hstack([design, dummies]))
    expected = fisher.sf((without - with_offsets) / 2 / (with_offsets / 26), 2, 26)
    result = compare_offsets(y, design, groups)
    assert result is not None
    assert result.p_value == pytest.approx(expected)


def test_cells_count_as_columns_of_the_design() -> None:
    draw = np.random.default_rng(3)
    cells, groups = draw.integers(0, 6, 40), draw.integers(0, 3, 40)
    y, design = draw.normal(size=40) + 0.4 * groups, draw.normal(size=(40, 1))
    dummies = (cells[:, None] == np.arange(6)).astype(float)
    within, beside = compare_offsets(y, design, groups, cells), compare_offsets(y, np.hstack([design, dummies]), groups)
    assert within is not None
    assert beside is not None
    assert (within.p_value, within.spread) == pytest.approx((beside.p_value, beside.spread))


def test_ten_thousand_rows_take_little_memory() -> None:
    draw = np.random.default_rng(0)
    n = np.exp(draw.uniform(17, 23, 5_000)).repeat(2)
    d = n * np.exp(draw.uniform(1, 5, 10_000))
    corpora, models = np.tile(["a", "b"], 5_000).tolist(), [f"m{i // 2}" for i in range(10_000)]
    points = points_of(parameters=n, tokens=d, loss=noisy(HOFFMANN.loss(n, d), 0.01, 0), corpus=corpora, model=models)
    residuals = np.log(points.loss / HOFFMANN.loss(n, d))
    design = np.stack([n**-0.34, d**-0.28], axis=1)
    tracemalloc.start()
    find_source_column(points, np.log(np.stack([n, d], axis=1)), residuals, design)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6


def test_groups_that_the_design_tells_apart_and_too_few_points_have_no_test() -> None:
    groups = np.array([0, 0, 1, 1])
    assert compare_offsets(np.arange(4.0), (groups[:, None] == np.arange(2)).astype(float), groups) is None
    assert compare_offsets(np.arange(4.0), np.random.default_rng(0).normal(size=(4, 3)), groups) is None


@pytest.mark.parametrize("repeated", [True, False], ids=["the same sizes", "other sizes"])
def test_two_sources_of_other_losses_are_found(repeated: bool) -> None:
    draw = np.random.default_rng(1)
    n = np.exp(draw.uniform(np.log(4e7), np.log(4e9), 12))
    d = n * np.exp(draw.uniform(0, 5, 12))
    n, d = (np.tile(x, 2) * (1 if repeated else np.exp(draw.normal(0, 0.3, 24))) for x in (n, d))
    corpora = np.repeat(["pile", "c4"], 12)
    other = Law(**{**vars(HOFFMANN), "E": 1.75})
    loss = noisy(np.where(corpora == "pile", HOFFMANN.loss(n, d), other.loss(n, d)), 0.003, 3)
    points = points_of(parameters=n, tokens=d, loss=loss)
    found = source_of(points, corpus=corpora.tolist(), other=np.tile(["a", "b"], 12).tolist())
    assert found is not None
    assert (found.column, found.values) == ("corpus", ("pile", "c4"))
    assert "--by corpus fits each by itself" in found.warning
    assert "column 'corpus' (pile, c4)" in found.warning


def test_sources_are_found_among_equal_sizes_where_rows_are_too_few_for_the_law() -> None:
    n, d = np.tile([1e8, 4e8, 2e9], 2), np.tile([1e10, 8e9, 6e10], 2)
    loss = HOFFMANN.loss(n, d) * np.repeat([1, 1.02], 3) * np.exp(np.array([1, -1, 2, -1, 2, 1]) * 2e-4)
    found = source_of(points_of(parameters=n, tokens=d, loss=loss), optimizer=list("aaabbb"))
    assert found is not None
    assert found.column == "optimizer"
    assert found.spread == pytest.approx(0.02, abs=0.002)


def test_random_labels_and_seeds_seldom_cause_a_warning() -> None:
    warned = 0
    for seed in range(60):
        points = cloud(HOFFMANN, seed, points=30)
        draw = np.random.default_rng(seed)
        labels = {name: draw.choice(list("abcd"), 30).tolist() for name in ("corpus", "seed")}
        warned += source_of(points, **labels) is not None
    assert warned <= 3


def test_labels_that_only_name_sizes_or_ratios_are_no_sources() -> None:
    n, d = np.repeat([1e8, 4e8, 2e9], 6), np.tile(np.geomspace(1e9, 1e11, 6), 3)
    bent = np.where(n == 4e8, 0.97, 1.0)  # a misfit of one size
    points = points_of(parameters=n, tokens=d, loss=noisy(HOFFMANN.loss(n, d) * bent, 0.001, 0))
    assert source_of(points, size=np.repeat(["100M", "400M", "2B"], 6).tolist()) is None


def test_a_difference_too_small_to_matter_is_none() -> None:
    points = cloud(HOFFMANN, noise=1e-5, points=40)
    labels = np.tile(["a", "b"], 20)
    near = points_of(
        parameters=points.parameters, tokens=points.tokens, loss=points.loss * np.where(labels == "a", 1, 1.0005)
    )
    assert source_of(near, corpus=labels.tolist()) is None


def test_rows_of_one_model_count_as_one() -> None:
    """Errors of a training curve go together; a dozen models of two families that differ by chance are no sources."""
    n = np.repeat(np.geomspace(1e8, 4e9, 12), 20)
    d = np.tile(np.geomspace(1e9, 1e11, 20), 12)
    draw = np.random.default_rng(4)
    loss = HOFFMANN.loss(n, d) * np.exp(np.repeat(draw.normal(0, 0.004, 12), 20) + draw.normal(0, 1e-4, 240))
    families = np.repeat(np.tile(["a", "b"], 6), 20).tolist()
    models = np.repeat([f"m{i}" for i in range(12)], 20).tolist()
    points = points_of(parameters=n, tokens=d, loss=loss)
    assert source_of(points, family=families, model=models) is None
    assert source_of(points, family=families) is not None


@pytest.mark.parametrize("law", ["kaplan", "isoflop"])
def test_other_laws_find_sources_too(law: Any) -> None:
    points = kaplan("ND", points=40) if law == "kaplan" else profiles(HOFFMANN, noise=0.003)
    labels = np.array(["a", "b"])[np.random.default_rng(0).integers(0, 2, len(points))]
    loss = points.loss * np.where(labels == "a", 1, 1.05)
    columns = {name: points.table[name] for name in points.table.column_names if name != "loss"}
    mixed = points_of(**columns, loss=loss, corpus=pa.array(labels.tolist()))
    options = FitOptions(law=law, form="ND" if law == "kaplan" else None, bootstrap=Bootstrap(0))
    assert any("--by corpus" in line for line in fit(mixed, options)[1].warnings)
