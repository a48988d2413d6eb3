from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from delta_matrices import normal, seeds
from hypothesis import given
from hypothesis import strategies as st

from degen.delta import matrices
from degen.delta.matrices import Kronecker, LowRank, Matrix, ReadRows, Sum, Transposed, add_up
from degen.delta.spectra import DIRECTIONS, decompose
from degen.errors import NotFiniteError

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12))


def thin(n: int, m: int, r: int, seed: int) -> LowRank:
    return LowRank(normal(n, r, seed=seed), normal(r, m, seed=seed + 1))


def kronecker(n: int, m: int, r: int, seed: int) -> Kronecker:
    return Kronecker(normal(1 + n % 6, r, seed=seed), normal(1 + m % 6, 1 + n % 5, seed=seed + 1))


def read(n: int, m: int, r: int, seed: int) -> ReadRows:
    values = normal(n, m, seed=seed)
    return ReadRows((n, m), lambda i, j: values[i:j])


KINDS = {"thin": thin, "kronecker": kronecker, "read": read}
Make = Callable[[int, int, int, int], Matrix]


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
@given(size=sizes, seed=seeds)
def test_singular_values_equal_those_of_the_matrix_formed(make: Make, size: tuple[int, int, int], seed: int) -> None:
    matrix = make(*size, seed)
    whole = matrix.whole()
    found, expected = decompose(matrix), torch.linalg.svdvals(whole).numpy()
    values = np.zeros(len(expected))
    values[: len(found.values)] = found.values[: len(expected)]
    assert np.abs(values - expected).max() <= 1e-10 * max(expected[0], 1e-300)
    assert found.values[len(expected) :].max(initial=0) <= 1e-10 * expected[0]


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
@given(size=sizes, seed=seeds)
def test_leading_directions_are_orthonormal_and_make_up_the_matrix(
    make: Make, size: tuple[int, int, int], seed: int
) -> None:
    matrix = make(*size, seed)
    found, whole = decompose(matrix), matrix.whole()
    k = min(int((found.values > 1e-9 * found.values[0]).sum()), DIRECTIONS)
    U, V, s = found.left[:, :k], found.right[:, :k], torch.tensor(found.values[:k])
    assert torch.allclose(U.T @ U, torch.eye(k, dtype=torch.float64), atol=1e-7)
    assert torch.allclose(V.T @ V, torch.eye(k, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(whole @ V, U * s, atol=1e-9 * float(s[0]))


@given(size=sizes, seed=seeds)
def test_rows_in_blocks_are_those_of_the_whole(size: tuple[int, int, int], seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrices, "BLOCK_VALUES", 64)
        for make in KINDS.values():
            matrix = make(*size, seed)
            blocks = list(matrix.blocks())
            assert torch.allclose(torch.cat([block for _, _, block in blocks]), matrix.whole(), atol=1e-12)
            assert [first for first, _, _ in blocks][1:] == [last for _, last, _ in blocks][:-1]


@given(size=sizes, seed=seeds)
def test_a_kronecker_product_has_the_rows_of_torch(size: tuple[int, int, int], seed: int) -> None:
    matrix = kronecker(*size, seed)
    assert torch.equal(matrix.whole(), torch.kron(matrix.first, matrix.second))


@given(size=sizes, seed=seeds, scale=st.sampled_from([1e-200, 1e-9, 1.0, 1e100]))
def test_ranks_do_not_depend_on_scale_or_on_transposing(size: tuple[int, int, int], seed: int, scale: float) -> None:
    matrix = read(*size, seed)
    found = decompose(matrix)
    others = [decompose(ReadRows(matrix.shape, lambda i, j: scale * matrix.rows(i, j))), decompose(Transposed(matrix))]
    for other in others:
        assert other.k90 == found.k90
        assert other.stable_rank == pytest.approx(found.stable_rank, rel=1e-9)
        assert other.effective_rank == pytest.approx(found.effective_rank, rel=1e-9)


def test_ranks_of_a_known_spectrum() -> None:
    found = decompose(LowRank(torch.eye(6, 4, dtype=torch.float64), torch.diag(torch.tensor([2.0, 1.0, 1.0, 0.0]))))
    p = np.array([0.5, 0.25, 0.25])
    assert found.norm == pytest.approx(math.sqrt(6))
    assert found.stable_rank == pytest.approx(6 / 4)
    assert found.effective_rank == pytest.approx(math.exp(-(p * np.log(p)).sum()))
    assert found.k90 == 3  # 4/6, 5/6, 6/6
    assert found.numerical_rank(1e-7) == 3
    assert found.numerical_rank(1e-7, floor=1.5) == 1


def test_zeros_have_no_rank() -> None:
    for matrix in (LowRank(torch.zeros(4, 2), torch.zeros(2, 3)), LowRank(torch.zeros(4, 0), torch.zeros(0, 3))):
        found = decompose(matrix)
        assert (found.norm, found.k90, found.numerical_rank(0.0)) == (0.0, 0, 0)
        assert found.stable_rank is None
        assert found.effective_rank is None
    assert decompose(ReadRows((5, 3), lambda i, j: torch.zeros(j - i, 3))).left.shape == (5, 0)


@given(size=sizes, seed=seeds)
def test_a_sum_of_thin_products_is_their_sum(size: tuple[int, int, int], seed: int) -> None:
    n, m, r = size
    terms: list[Matrix] = [thin(n, m, r, seed), thin(n, m, 2, seed + 2)]
    total = add_up(terms)
    assert isinstance(total, LowRank if r + 2 < min(n, m) else Sum)
    assert torch.allclose(total.whole(), terms[0].whole() + terms[1].whole())


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(NotFiniteError, match="NaN or infinity"):
        LowRank(torch.full((2, 1), math.nan), torch.ones(1, 2))
    with pytest.raises(NotFiniteError, match="NaN or infinity"):
        decompose(ReadRows((2, 2), lambda i, j: torch.full((j - i, 2), math.inf)))
