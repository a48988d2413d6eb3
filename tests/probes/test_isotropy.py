from __future__ import annotations

import math

import numpy as np
import pytest
from degen.probes.isotropy import Isotropy
from head_matrices import checkpoint_row, head_of, normal, rotation
from hypothesis import given
from hypothesis import strategies as st

from degen.arrays import Floats

sizes = st.tuples(st.integers(4, 40), st.integers(2, 6)).filter(lambda s: s[0] > s[1] + 1)
seeds = st.integers(0, 2**31)


def twin(W: Floats) -> float:
    """Return I(W) over the eigenvectors of WᵀW, both ways, one exponential at a time."""
    _, vectors = np.linalg.eigh(W.T @ W)
    sums = [math.fsum(math.exp(float(w @ c)) for w in W) for v in vectors.T for c in (v, -v)]
    return min(sums) / max(sums)


@given(sizes, seeds, st.floats(0, 5))
def test_it_equals_the_formula_written_out(size: tuple[int, int], seed: int, shift: float) -> None:
    W = normal(size, seed, shift)
    row = checkpoint_row(Isotropy, head_of(W))
    assert row["isotropy"] == pytest.approx(twin(W), abs=1e-8)
    assert row["isotropy_log"] == pytest.approx(math.log(twin(W)), abs=1e-7)


@given(sizes, seeds)
def test_order_of_rows_rotation_and_sign_change_nothing(size: tuple[int, int], seed: int) -> None:
    W, rng = normal(size, seed, 1.0), np.random.default_rng(seed)
    plain = checkpoint_row(Isotropy, head_of(W))
    for other in (W[rng.permutation(size[0])], W @ rotation(size[1], seed), -W):
        assert checkpoint_row(Isotropy, head_of(other)) == pytest.approx(plain, abs=1e-8)


def test_rows_that_point_every_way_alike_are_isotropic() -> None:
    W = np.concatenate([np.eye(5), -np.eye(5)])
    assert checkpoint_row(Isotropy, head_of(W)) == {"isotropy": pytest.approx(1), "isotropy_log": pytest.approx(0)}


def test_one_direction_is_as_anisotropic_as_its_length_says() -> None:
    """All n rows are a·e₁: Z(±e₁) = n·exp(±a), and n elsewhere."""
    W = np.zeros((7, 3))
    W[:, 0] = 2.0
    row = checkpoint_row(Isotropy, head_of(W))
    assert row["isotropy_log"] == pytest.approx(-4.0)
    assert row["isotropy"] == pytest.approx(math.exp(-4))


def test_exponentials_that_are_no_float_are_none_the_less_compared() -> None:
    W = normal((50, 4), 0) * 1e4
    row = checkpoint_row(Isotropy, head_of(W))
    assert row["isotropy_log"] < -9000
    assert row["isotropy"] == 0.0


def test_a_head_of_no_used_row_says_so() -> None:
    row = checkpoint_row(Isotropy, head_of(normal((9, 3), 0), used=np.zeros(0, dtype=np.int64)))
    assert row == {"reason": "no isotropy: the LM head has no row that the tokenizer uses"}
