"""Slopes against numpy's own fits, planted lines, and what has no slope."""

from __future__ import annotations

import numpy as np
import pytest

from degen.scaling.architectures.slopes import Quantity, find_slopes, pairs_of
from degen.stats.linear_fit import fit_line, no_line

N = np.logspace(7, 10, 9)


def row(rows: list[dict[str, object]], **keys: object) -> dict[str, object]:
    """The one row with these values."""
    (match,) = [r for r in rows if all(r[key] == value for key, value in keys.items())]
    return match


def quantities(loss: np.ndarray, score: np.ndarray) -> list[tuple[Quantity, Quantity]]:
    costs = [Quantity("flops", "flops", 6 * N * 20 * N), Quantity("parameters", "parameters", N)]
    return pairs_of(costs, Quantity("upstream", "loss", loss), [Quantity("downstream", "glue", score)])


def test_planted_slopes_are_recovered_on_every_pair_of_axes() -> None:
    rows = find_slopes(["a"] * 9, quantities(5 - 0.3 * np.log10(N), 10 * N**0.2))
    assert row(rows, pair="parameters-upstream", axes="semi-log")["slope"] == pytest.approx(-0.3)
    assert row(rows, pair="flops-upstream", axes="semi-log")["slope"] == pytest.approx(-0.15)
    assert row(rows, pair="parameters-downstream", axes="log-log")["slope"] == pytest.approx(0.2)
    assert row(rows, pair="flops-downstream", axes="log-log")["slope"] == pytest.approx(0.1)
    assert {r["pair"] for r in rows} == {
        "flops-upstream", "flops-downstream", "parameters-upstream", "parameters-downstream", "upstream-downstream",
    }  # fmt: skip
    labels = {(r["axes"], r["x_axis"], r["y_axis"]) for r in rows if r["pair"] == "upstream-downstream"}
    assert labels == {
        ("semi-log", "log10 loss", "glue"), ("log-log", "log10 loss", "log10 glue"), ("linear", "loss", "glue"),
    }  # fmt: skip


def test_slope_with_error_and_interval_equals_scipy() -> None:
    from scipy.stats import linregress, t

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=7), rng.normal(size=7)
    line, twin = fit_line(x, y), linregress(x, y)
    assert line.slope == pytest.approx(twin.slope)
    assert line.slope_se == pytest.approx(twin.stderr)
    assert line.intercept == pytest.approx(twin.intercept)
    assert line.r_squared == pytest.approx(twin.rvalue**2)
    assert line.slope_interval(0.9) == pytest.approx(
        (twin.slope - t.ppf(0.95, 5) * twin.stderr, twin.slope + t.ppf(0.95, 5) * twin.stderr)
    )
    assert np.sqrt(line.variance_at(0.0)) == pytest.approx(twin.intercept_stderr)


def test_the_interval_of_a_row_is_of_the_confidence_asked_for_and_of_nine_tenths_by_default() -> None:
    loss = 5 - 0.3 * np.log10(N) + 0.01 * np.random.default_rng(2).normal(size=9)
    line, pairs = fit_line(np.log10(N), loss), quantities(loss, loss)
    for confidence, rows in ((0.9, find_slopes(["a"] * 9, pairs)), (0.5, find_slopes(["a"] * 9, pairs, 0.5))):
        found = row(rows, pair="parameters-upstream", axes="semi-log")
        assert (found["slope_low"], found["slope_high"]) == pytest.approx(line.slope_interval(confidence))


def test_coverage_of_the_interval_of_a_slope_is_its_confidence() -> None:
    rng, x = np.random.default_rng(1), np.arange(5.0)
    held = 0
    for _ in range(1000):
        low, high = fit_line(x, 2 * x + rng.normal(size=5)).slope_interval(0.9)
        held += low <= 2 <= high
    assert 870 <= held <= 930


def test_curvature_is_significant_for_a_bend_and_not_for_a_line() -> None:
    x = np.linspace(-1, 1, 9)
    wiggle = 0.01 * np.sin(7 * np.arange(9.0) - 28)  # odd, so that it bends no way
    bent, straight = fit_line(x, x + x**2 + wiggle), fit_line(x, x + wiggle)
    assert bent.curvature_p is not None
    assert bent.curvature_p < 1e-6
    assert straight.curvature_p is not None
    assert straight.curvature_p > 0.1
    assert fit_line(x, x).curvature_p is None


def test_negated_loss_has_no_log_log_slope_and_a_reason() -> None:
    rows = find_slopes(["a"] * 9, quantities(-5 + 0.3 * np.log10(N), 10 * N**0.2))
    assert row(rows, pair="flops-upstream", axes="semi-log")["slope"] == pytest.approx(0.15)
    missing = row(rows, pair="flops-upstream", axes="log-log")
    assert missing["slope"] is None
    assert "loss is 0 or less at 9 of 9 points" in str(missing["reason"])
    assert row(rows, pair="upstream-downstream", axes="semi-log")["slope"] is None
    assert row(rows, pair="upstream-downstream", axes="linear")["slope"] is not None


def test_fewer_than_four_different_points_give_no_slope() -> None:
    loss = np.full(9, np.nan)
    loss[:8] = 3.0, 2.5, 2.2, 2.0, 2.9, 2.6, 2.3, 2.3
    rows = find_slopes(["four"] * 4 + ["three"] * 3 + ["one", "none"], quantities(loss, loss))
    assert row(rows, architecture="four", pair="parameters-upstream", axes="semi-log")["slope"] is not None
    for label, count in (("three", "3 different points"), ("one", "1 different point "), ("none", "0 different")):
        missing = row(rows, architecture=label, pair="parameters-upstream", axes="semi-log")
        assert (missing["slope"], missing["slope_low"], missing["slope_se"]) == (None, None, None)
        assert count in str(missing["reason"])


def test_equal_points_of_a_line_count_once() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 3.0, 3.0]), np.array([3.0, 2.0, 1.0, 1.0, 1.0])
    assert no_line(x, y) == "3 different points with both; a slope needs 4"
    assert no_line(x, y + np.array([0, 0, 0, 0, 0.1])) is None


def test_points_of_one_size_have_no_slope() -> None:
    assert no_line(np.full(5, 8.0), np.arange(5.0)) == "all 5 points lie at one x; a slope needs two"
    pairs = [(Quantity("parameters", "N", np.full(9, 1e8)), Quantity("upstream", "loss", N))]
    (semi, _) = find_slopes(["a"] * 9, pairs)
    assert semi["slope"] is None
    assert "one value of N" in semi["reason"]


def test_slope_of_equal_values_is_zero_without_r_squared() -> None:
    line = fit_line(np.arange(4.0), np.full(4, 2.3))
    assert (line.slope, line.r_squared) == (0.0, None)
