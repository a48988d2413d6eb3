from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from head_matrices import head_of

from degen.errors import NotFiniteError
from degen.rank import row_chains
from degen.rank.head_factor import head_factor
from degen.rank.linear_algebra import head_triangle, triangular_factor
from degen.rank.row_chains import chain_count


@pytest.fixture(params=[1, 2, 3, 5])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    assert torch.get_num_threads() == request.param
    torch.set_num_threads(before)


def hard_matrix(rows: int, width: int, smallest: float) -> np.ndarray:
    draw = np.random.default_rng(rows)
    U, V = (np.linalg.qr(draw.normal(size=(n, width)))[0] for n in (rows, width))
    return U * np.geomspace(1, smallest, width) @ V.T


@pytest.mark.parametrize(("rows", "block"), [(1000, 90), (1000, 500), (61, 20), (30, 40), (50, 7)])
def test_singular_values_equal_numpys_to_the_rounding_of_float64(threads: int, rows: int, block: int) -> None:
    W = hard_matrix(rows, 30, 1e-13)
    R = head_triangle(torch.split(torch.from_numpy(W), block))
    assert R is not None
    assert R.shape == (30, 30)
    np.testing.assert_allclose(torch.linalg.svdvals(R).numpy(), np.linalg.svd(W, compute_uv=False), rtol=0, atol=1e-14)
    np.testing.assert_allclose((R.T @ R).numpy(), W.T @ W, rtol=0, atol=1e-14)


def test_bits_are_the_same_in_every_run_and_with_one_thread_as_in_turn(threads: int) -> None:
    blocks = torch.split(torch.from_numpy(hard_matrix(900, 40, 1e-3)), 64)
    found = [head_triangle(blocks) for _ in range(5)]
    assert found[0] is not None
    assert all(other is not None and torch.equal(found[0], other) for other in found)
    if threads == 1:
        in_turn = triangular_factor(blocks)
        assert in_turn is not None
        assert torch.equal(found[0], in_turn)


@pytest.mark.parametrize("blocks", [[], [torch.ones(3, 2).double()]])
def test_no_block_and_one_block(threads: int, blocks: list[torch.Tensor]) -> None:
    R = head_triangle(blocks)
    assert (R is None) == (not blocks)
    if R is not None:
        assert float(R[0, 0] ** 2) == pytest.approx(3)


def test_centred_rows_of_several_chains_are_those_of_numpy(threads: int) -> None:
    W = np.random.default_rng(0).normal(size=(20_000, 6)) + 100 * np.arange(6)  # five blocks
    W[9000:] += 50
    factor = head_factor(head_of(W))
    assert factor is not None
    assert factor.rows == len(W)
    np.testing.assert_allclose(factor.mean.numpy(), W.mean(axis=0), rtol=1e-13)
    centred, raw = (np.linalg.svd(matrix, compute_uv=False) for matrix in (W - W.mean(axis=0), W))
    np.testing.assert_allclose(factor.centred_directions[0], centred, rtol=1e-12)
    np.testing.assert_allclose(factor.directions[0], raw, rtol=0, atol=1e-13 * raw[0])


def test_a_head_that_is_not_finite_says_so_and_gives_the_threads_back(threads: int) -> None:
    W = np.ones((20_000, 4))
    W[17_000, 2] = np.nan
    with pytest.raises(NotFiniteError, match="16384 to 19999"):
        head_factor(head_of(W))


def test_wide_blocks_are_taken_in_fewer_chains(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chain_count(4096, 640) == threads
    assert chain_count(4096, 8192) == 1
    monkeypatch.setattr(row_chains, "SPARE", 2 * 24 * (100 + 10) * 10)
    assert chain_count(100, 10) == min(threads, 3)


def test_no_more_blocks_are_held_than_there_are_chains_and_one(threads: int) -> None:
    held, most = 0, 0

    class Counted:
        def __init__(self) -> None:
            nonlocal held, most
            held += 1
            most = max(most, held)

        def __del__(self) -> None:
            nonlocal held
            held -= 1

    def blocks() -> Iterator[torch.Tensor]:
        for seed in range(40):
            block = torch.randn(200, 20, generator=torch.Generator().manual_seed(seed)).double()
            block.counted = Counted()  # type: ignore[attr-defined]
            yield block

    assert head_triangle(blocks()) is not None
    assert most <= threads + 2
