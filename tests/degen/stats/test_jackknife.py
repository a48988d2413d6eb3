from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degen.stats.jackknife import jackknife_error

figures = st.floats(-1e6, 1e6)


@given(st.lists(figures, min_size=2, max_size=30))
def test_the_jackknife_error_of_a_mean_is_the_textbook_standard_error(values: list[float]) -> None:
    """For a mean of independent values the jackknife is exactly s/√n."""
    left = np.array([np.mean(values[:i] + values[i + 1 :]) for i in range(len(values))])
    expected = np.std(values, ddof=1) / math.sqrt(len(values))
    assert jackknife_error(left) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(st.lists(figures, min_size=2, max_size=30))
def test_the_jackknife_error_is_that_of_its_formula(left: list[float]) -> None:
    mean, total = sum(left) / len(left), 0.0
    for theta in left:
        total += (theta - mean) ** 2
    expected = math.sqrt((len(left) - 1) / len(left) * total)
    assert jackknife_error(np.array(left)) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("left", [[], [1.0], [1.0, math.nan], [math.inf, 1.0]])
def test_the_jackknife_error_is_none_where_undefined(left: list[float]) -> None:
    assert jackknife_error(np.array(left)) is None
