from __future__ import annotations

import numpy as np
import pytest
from degen.probes.head_tail import HeadTail
from head_matrices import checkpoint_row, head_of, normal, rotation
from hypothesis import given, settings
from hypothesis import strategies as st

from degen.stats.power_law_tail import power_law_tail

seeds = st.integers(0, 2**31)


@settings(max_examples=30)
@given(st.tuples(st.integers(10, 60), st.integers(3, 9)), seeds)
def test_it_is_the_fit_to_the_eigenvalues_of_the_gram_matrix(size: tuple[int, int], seed: int) -> None:
    W = normal(size, seed, 1.0)
    row, fit = checkpoint_row(HeadTail, head_of(W)), power_law_tail(np.linalg.eigvalsh(W.T @ W))
    assert fit is not None
    assert row["head_tail_distance"] == pytest.approx(fit.distance, abs=1e-8)
    if row["head_tail_count"] == fit.count:
        assert row["head_tail_exponent"] == pytest.approx(fit.exponent, rel=1e-8)
        assert row["head_tail_exponent_se"] == pytest.approx((fit.exponent - 1) / np.sqrt(fit.count), rel=1e-8)
        assert row["head_tail_share"] == fit.count / size[1]
    assert row["head_tail_reason"] == fit.reason


@given(seeds, st.integers(-100, 100))
def test_order_of_rows_rotation_and_scale_change_nothing(seed: int, exponent: int) -> None:
    W, rng = normal((40, 6), seed, 1.0), np.random.default_rng(seed)
    plain = checkpoint_row(HeadTail, head_of(W))
    for other in (W[rng.permutation(40)], W @ rotation(6, seed), np.ldexp(W, exponent)):
        assert checkpoint_row(HeadTail, head_of(other))["head_tail_distance"] == pytest.approx(
            plain["head_tail_distance"], abs=1e-7
        )


def test_a_planted_power_law_is_found_again() -> None:
    """The quantiles of a power law of α = 2.5 as eigenvalues."""
    eigenvalues = ((np.arange(300) + 0.5) / 300) ** (-1 / 1.5)
    row = checkpoint_row(HeadTail, head_of(np.sqrt(eigenvalues)[:, None] * rotation(300, 0)))
    assert row["head_tail_exponent"] == pytest.approx(2.5, abs=0.15)
    assert row["head_tail_count"] > 100
    assert row["head_tail_reason"] is None


@pytest.mark.parametrize("W", [np.zeros((9, 3)), np.outer(np.ones(9), np.array([1.0, 0, 0])), np.full((300, 64), 0.3)])
def test_fewer_than_two_eigenvalues_say_so(W: np.ndarray) -> None:
    assert checkpoint_row(HeadTail, head_of(W)) == {
        "reason": "no tail exponent: the head has fewer than two different eigenvalues"
    }
