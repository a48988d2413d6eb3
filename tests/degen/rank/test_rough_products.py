"""The bound of float32's rounding against products in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degen.rank.rough_products import lengths_of, product_error, rounding

scales = st.floats(-18, 12).map(lambda exponent: 10**exponent)


@given(st.integers(0, 2**31), st.integers(1, 300), scales, scales, st.floats(0, 8))
def test_no_product_in_float32_is_further_off_than_the_bound(
    seed: int, width: int, first: float, second: float, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = (
        scale * rng.normal(size=(20, width)) * 10 ** rng.uniform(-spread, 0, size=(20, width))
        for scale in (first, second)
    )
    rough = rows.astype(np.float32)
    off = np.abs(rough @ columns.T.astype(np.float32) - rows @ columns.T)
    error = product_error(lengths_of(rough)[:, None], np.linalg.norm(columns, axis=1), width)
    assert (off <= error).all()


def test_a_bound_is_what_rounding_gives_and_no_more_than_a_few_thousand_times_of_it() -> None:
    rng = np.random.default_rng(0)
    rows, columns = rng.normal(size=(50, 512)), rng.normal(size=(50, 512))
    rough = rows.astype(np.float32)
    off = np.abs(rough @ columns.T.astype(np.float32) - rows @ columns.T)
    error = product_error(lengths_of(rough)[:, None], np.linalg.norm(columns, axis=1), 512)
    assert 1e-3 * error.max() < off.max() < error.min()
    assert error.max() / 512 == pytest.approx(rounding(512), rel=0.3)


def test_products_that_float32_cannot_hold_have_no_bound() -> None:
    assert product_error(1e20, np.array([1e10, 1e18]), 4).tolist() == [
        pytest.approx(rounding(4) * 1e30),
        np.inf,
    ]
    too_long = lengths_of(np.full((1, 4), 1e30, dtype=np.float32))
    assert product_error(too_long, np.ones(1), 4).tolist() == [np.inf]
    assert product_error(float("nan"), np.ones(1), 4).tolist() == [np.inf]
