from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from degen.arrays import Floats
from degen.stats.window_contrasts import (
    FEWER_LENGTHS,
    LENGTHS,
    final_contrasts,
    highest_contrasts,
    lowest_window,
    mean_variance,
    without_each,
)

ROWS = np.random.default_rng(0).normal(0, 1, (6, 13)).cumsum(axis=1)
SIZES = [2, 3, 4, 7, 13]


def slow_variance(length: int) -> float:
    """The variance of a mean by the whole covariance matrix."""
    covariance = [[0.5 ** abs(i - j) for j in range(length)] for i in range(length)]
    return float(np.sum(covariance)) / length**2


def windows(n: int, lengths: tuple[int, ...]) -> list[tuple[int, int]]:
    """First and last index, plus one, of all windows of the lengths."""
    return [(a, a + length) for length in lengths for a in range(n - length + 1)]


def slow_contrasts(row: Floats, lengths: tuple[int, ...], final: bool) -> dict[tuple[int, int, int, int], float]:
    """The contrast of every later window with every earlier one."""
    n = len(row)
    least = 2 if n >= 4 else 1
    contrasts = {}
    for (a, b), (c, d) in itertools.product(windows(n, lengths), repeat=2):
        if b > c or b - a < least or d - c > n // 2 or (final and d < n):
            continue
        rise = row[c:d].mean() - row[a:b].mean()
        contrasts[a, b, c, d] = rise / math.sqrt(slow_variance(b - a) + slow_variance(d - c))
    return contrasts


@pytest.mark.parametrize("length", [1, 2, 3, 7, 40])
def test_the_variance_of_a_mean_is_that_of_the_whole_covariance(length: int) -> None:
    assert mean_variance(length) == pytest.approx(slow_variance(length), rel=1e-12)


@pytest.mark.parametrize("n", SIZES)
def test_the_final_contrast_is_the_largest_of_all_windows(n: int) -> None:
    slow = [max(slow_contrasts(row[:n], LENGTHS, True).values()) for row in ROWS]
    np.testing.assert_allclose(final_contrasts(ROWS[:, :n]), slow, rtol=1e-10)


@pytest.mark.parametrize("n", SIZES)
def test_the_highest_contrast_is_the_largest_of_all_pairs_of_windows(n: int) -> None:
    contrasts, ends = highest_contrasts(ROWS[:, :n])
    for row, contrast, end in zip(ROWS, contrasts, ends, strict=True):
        slow = slow_contrasts(row[:n], FEWER_LENGTHS, False)
        best = max(slow, key=lambda key: slow[key])
        assert contrast == pytest.approx(slow[best], rel=1e-10)
        assert end == best[3] - 1


def test_a_plateau_of_five_after_a_level_of_twenty_is_found_whole() -> None:
    row = np.zeros(40)
    row[22:27] = 1.0
    contrasts, ends = highest_contrasts(row[None])
    assert contrasts == pytest.approx([1 / math.sqrt(slow_variance(5) + slow_variance(20))])
    assert ends.tolist() == [26]


@pytest.mark.parametrize("n", SIZES)
def test_the_lowest_window_is_that_of_the_final_contrast(n: int) -> None:
    for row in ROWS:
        slow = slow_contrasts(row[:n], LENGTHS, True)
        best = max(slow, key=lambda key: slow[key])
        assert lowest_window(row[:n]) == slice(best[0], best[1])


def test_a_series_is_left_without_each_of_its_values_in_turn() -> None:
    row = ROWS[0]
    np.testing.assert_array_equal(without_each(row), [np.delete(row, i) for i in range(len(row))])


def test_a_series_that_falls_never_rises() -> None:
    falls = np.sort(ROWS, axis=1)[:, ::-1]
    assert (final_contrasts(falls) <= 0).all()
    assert (highest_contrasts(falls)[0] <= 0).all()


@pytest.mark.parametrize(("scale", "shift"), [(1000.0, 0.0), (1.0, -50.0)])
def test_contrasts_are_in_the_unit_of_the_values(scale: float, shift: float) -> None:
    np.testing.assert_allclose(final_contrasts(scale * ROWS + shift), scale * final_contrasts(ROWS), rtol=1e-9)
