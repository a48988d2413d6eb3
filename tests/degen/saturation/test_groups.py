from __future__ import annotations

import numpy as np
import pytest

from degen.saturation.groups import grouped

STEPS = np.arange(1, 1001) * 10
VALUES = 3 + np.random.default_rng(0).normal(0, 0.01, 1000)


@pytest.mark.parametrize("n", [1, 5, 64])
def test_few_checkpoints_stay_as_they_are(n: int) -> None:
    groups = grouped(STEPS[:n], VALUES[:n])
    assert groups.size == 1
    np.testing.assert_array_equal(groups.values, VALUES[:n])
    np.testing.assert_array_equal(groups.last, STEPS[:n])


@pytest.mark.parametrize("n", [65, 128, 129, 1000])
def test_more_become_means_of_neighbours_that_end_with_the_last(n: int) -> None:
    groups = grouped(STEPS[:n], VALUES[:n])
    ends = [*range(n, 0, -groups.size)][::-1]
    assert 32 <= len(groups.values) == len(ends) <= 64
    for i, end in enumerate(ends):
        begin = max(0, end - groups.size)
        assert (groups.first[i], groups.last[i]) == (STEPS[begin], STEPS[end - 1])
        assert groups.values[i] == pytest.approx(VALUES[begin:end].mean())


def test_a_value_that_strays_is_left_out_of_its_mean() -> None:
    values = VALUES.copy()
    values[500] += 1
    clean, spoilt = grouped(STEPS, VALUES), grouped(STEPS, values)
    assert np.abs(spoilt.values - clean.values).max() < 0.005
