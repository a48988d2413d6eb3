from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from degen.probes.spectrum import SHAPE_METRICS, Spectrum, singular_values, singular_values_of
from hypothesis import assume, given
from hypothesis import strategies as st

from degen.errors import CheckpointError
from degen.model.lm_head import Head, used_rows
from degen.stats.entropy import shannon_entropy
from degen.stats.spectral_figures import entropy_from_flat
from degen.weights.open_weights import LoadedTensors

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(2, 60), st.integers(1, 12)).filter(lambda s: s[0] >= s[1])


def matrix(size: tuple[int, int], seed: int, decay: float = 0.0) -> np.ndarray:
    """Return a random matrix, its singular values falling by `decay` in ln from one to the next."""
    rng = np.random.default_rng(seed)
    U, _ = np.linalg.qr(rng.normal(size=size))
    V, _ = np.linalg.qr(rng.normal(size=(size[1], size[1])))
    return (U * (3 * np.exp(-decay * np.arange(size[1])))) @ V if decay else rng.normal(size=size)


def blocks(W: np.ndarray, rows: int = 4096) -> list[torch.Tensor]:
    return list(torch.from_numpy(W).split(rows))


def row_of(W: np.ndarray) -> dict[str, Any]:
    head = Head(LoadedTensors({"w": torch.from_numpy(W)}), "w", None)
    return Spectrum().measure(head)["checkpoints"][0]


@given(sizes, seeds, st.floats(0, 1.1))
def test_singular_values_equal_numpys(size: Any, seed: int, decay: float) -> None:
    """Condition at most e^12.1 < 1e6: nine digits of every figure."""
    W = matrix(size, seed, decay)
    values, expected = singular_values(blocks(W)), np.linalg.svd(W, compute_uv=False)
    assert np.allclose(values, expected, rtol=0, atol=1e-12 * expected[0])
    assume(expected[0] < 1e6 * expected[-1])
    row = row_of(W)
    p, q = expected**2 / (expected**2).sum(), expected / expected.sum()
    assert row["singular_entropy"] == pytest.approx((p * np.log(p * len(p))).sum(), abs=1e-9)
    assert row["singular_entropy_sigma"] == pytest.approx((q * np.log(q * len(q))).sum(), abs=1e-9)
    assert row["effective_rank"] == pytest.approx(math.exp(-(q * np.log(q)).sum()), abs=1e-9)
    assert row["stable_rank"] == pytest.approx((expected**2).sum() / expected[0] ** 2, abs=1e-9)
    assert row["top_singular_share"] == pytest.approx(expected[0] ** 2 / (expected**2).sum(), abs=1e-9)


@given(sizes, seeds, st.integers(1, 11))
def test_a_singular_head_keeps_six_digits(size: Any, seed: int, rank: int) -> None:
    """Rank below the width: what should be zero is rounding, and must not show in any figure."""
    rank = min(rank, size[1])
    rng = np.random.default_rng(seed)
    A, B = rng.normal(size=(size[0], rank)), rng.normal(size=(rank, size[1]))
    W = A @ B
    ra, rb = np.linalg.qr(A, mode="r"), np.linalg.qr(B.T, mode="r")
    exact = np.linalg.svd(ra @ rb.T, compute_uv=False)  # of the factors: no zero among them to round
    row = row_of(W)
    p, q = exact**2 / (exact**2).sum(), exact / exact.sum()
    width = math.log(size[1])
    assert row["singular_entropy"] == pytest.approx(width + (p * np.log(p)).sum(), abs=1e-6)
    assert row["singular_entropy_sigma"] == pytest.approx(width + (q * np.log(q)).sum(), abs=1e-6)
    assert row["effective_rank"] == pytest.approx(math.exp(-(q * np.log(q)).sum()), rel=1e-6)
    assert row["stable_rank"] == pytest.approx((exact**2).sum() / exact[0] ** 2, rel=1e-6)


@given(sizes, seeds, st.integers(1, 60))
def test_the_size_of_blocks_changes_no_figure_of_the_spectrum(size: Any, seed: int, rows: int) -> None:
    W = matrix(size, seed)
    values, whole = singular_values(blocks(W, rows)), singular_values([torch.from_numpy(W)])
    assert np.allclose(values, whole, rtol=0, atol=1e-12 * whole[0])


@given(sizes, seeds)
def test_order_of_rows_and_rotation_of_columns_change_nothing(size: Any, seed: int) -> None:
    W, rng = matrix(size, seed), np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(size[1], size[1])))
    whole = singular_values(blocks(W))
    for other in (W[rng.permutation(size[0])], W @ rotation, -W):
        assert np.allclose(singular_values(blocks(np.ascontiguousarray(other))), whole, rtol=0, atol=1e-11 * whole[0])


@given(sizes, seeds, st.floats(-30, 30))
def test_scaling_a_head_changes_its_singular_values_and_no_other_figure(size: Any, seed: int, exponent: float) -> None:
    W = matrix(size, seed, 0.2)
    plain, scaled = row_of(W), row_of(W * 10.0**exponent)
    for name, value in plain.items():
        assert scaled[name] == pytest.approx(value, abs=1e-9), name


@given(sizes, seeds)
def test_squares_of_singular_values_add_up_to_frobenius(size: Any, seed: int) -> None:
    W = matrix(size, seed)
    values = singular_values(blocks(W, 7))
    assert (np.diff(values) <= 0).all()
    assert len(values) == size[1]
    assert (values**2).sum() == pytest.approx(np.linalg.norm(W) ** 2, rel=1e-12)


@given(sizes, seeds)
def test_one_direction_has_entropy_ln_d(size: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    row = row_of(np.outer(rng.normal(size=size[0]), rng.normal(size=size[1])))
    assert row["singular_entropy"] == pytest.approx(math.log(size[1]), abs=1e-6)
    assert row["singular_entropy_sigma"] == pytest.approx(math.log(size[1]), abs=1e-6)
    assert row["effective_rank"] == pytest.approx(1, abs=1e-6)
    assert row["stable_rank"] == pytest.approx(1, abs=1e-9)
    assert row["top_singular_share"] == pytest.approx(1, abs=1e-9)


@given(sizes, seeds)
def test_orthogonal_columns_have_the_largest_effective_rank(size: Any, seed: int) -> None:
    Q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=size))
    row = row_of(7 * Q)
    assert row["singular_entropy"] == pytest.approx(0, abs=1e-9)
    assert row["singular_entropy_sigma"] == pytest.approx(0, abs=1e-9)
    assert row["effective_rank"] == pytest.approx(size[1], rel=1e-9)
    assert row["stable_rank"] == pytest.approx(size[1], rel=1e-9)
    assert row["top_singular_share"] == pytest.approx(1 / size[1], rel=1e-9)


def test_singular_values_that_a_gram_matrix_would_lose_are_kept() -> None:
    """σ down to 1e-10·σ₁: below √ε, where WᵀW has nothing but rounding."""
    W = matrix((200, 8), 1, decay=math.log(1e10) / 7)
    values, expected = singular_values(blocks(W, 64)), 3 * np.exp(-math.log(1e10) / 7 * np.arange(8))
    assert np.allclose(values, expected, rtol=1e-4, atol=0)
    gram = np.sqrt(np.abs(np.linalg.eigvalsh(W.T @ W)))[::-1]
    assert not np.allclose(gram, expected, rtol=1e-2, atol=0)


def test_a_head_of_zeros_has_no_figures() -> None:
    row = row_of(np.zeros((10, 4)))
    assert row.pop("reason") == "no spectrum: the LM head holds zeros alone"
    assert len(row) == 5
    assert all(value is None for value in row.values())
    assert math.isnan(entropy_from_flat(np.zeros(4)))
    assert math.isnan(shannon_entropy(np.zeros(4)))
    assert shannon_entropy(np.array([1.0, 0.0, 1.0])) == pytest.approx(math.log(2))


@given(seeds, st.sets(st.integers(0, 45), min_size=5), st.integers(1, 50))
def test_only_rows_of_the_head_that_tokens_use_count(seed: int, ids: set[int], rows: int) -> None:
    W = matrix((40, 5), seed)
    used = used_rows(frozenset(ids), 40)
    chosen = sorted(i for i in ids if i < 40)
    assume(len(chosen) >= 5)
    head = Head(LoadedTensors({"w": torch.from_numpy(W)}), "w", used)
    assert head.rows_used == len(chosen)
    used = torch.cat(list(head.blocks(rows)))
    assert torch.equal(used, torch.from_numpy(W[chosen]))
    expected = np.linalg.svd(W[chosen], compute_uv=False)
    assert np.allclose(singular_values(head.blocks(rows)), expected, rtol=0, atol=1e-12 * expected[0])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_row_of_nan_is_named_unless_no_token_uses_it(bad: float) -> None:
    W = torch.ones(20, 3)
    W[13, 1] = bad
    with pytest.raises(CheckpointError, match=r"lm_head\.weight\) holds NaN or infinity in 1 of its rows 8 to 15"):
        list(Head(LoadedTensors({"lm_head.weight": W}), "lm_head.weight", None).blocks(8))
    unused = Head(LoadedTensors({"lm_head.weight": W}), "lm_head.weight", np.arange(13))
    assert sum(len(b) for b in unused.blocks(8)) == 13


CPU = torch.device("cpu")  # in place of an accelerator


@given(sizes, seeds, st.sets(st.integers(0, 59), min_size=12), st.sampled_from([torch.float32, torch.bfloat16]))
def test_a_head_on_its_device_has_the_singular_values_that_it_has_block_by_block(
    size: Any, seed: int, ids: set[int], dtype: torch.dtype
) -> None:
    tensors = LoadedTensors({"w": torch.from_numpy(matrix(size, seed)).to(dtype)})
    used = used_rows(frozenset(ids), size[0])
    there = singular_values_of(Head(tensors, "w", used, CPU))
    expected = singular_values_of(Head(tensors, "w", used))
    assert len(there) == len(expected)
    assert np.allclose(there, expected, rtol=0, atol=1e-12 * max(expected, default=0))


def test_pieces_on_a_device_are_the_used_rows_as_they_are_stored() -> None:
    W = torch.arange(20, dtype=torch.bfloat16).view(10, 2)
    pieces = Head(LoadedTensors({"w": W}), "w", np.asarray([0, 1, 2, 7]), CPU).pieces(3)
    assert pieces is not None
    assert [len(piece) for piece in pieces] == [3, 1]
    assert torch.equal(torch.cat(pieces), W[[0, 1, 2, 7]])
    assert Head(LoadedTensors({"w": W}), "w", np.asarray([], dtype=np.int64), CPU).pieces() is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_row_of_nan_is_named_on_a_device_too(bad: float) -> None:
    W = torch.ones(20, 3)
    W[13, 1] = bad
    with pytest.raises(CheckpointError, match="holds NaN or infinity in 1 of its rows 0 to 19"):
        Spectrum().measure(Head(LoadedTensors({"w": W}), "w", None, CPU))


class Full(Head):
    """A head for which its device has no memory."""

    def pieces(self, rows: int = 0) -> Any:
        return torch.empty(1 << 60, dtype=torch.uint8)


def test_a_head_that_does_not_fit_on_its_device_is_measured_block_by_block() -> None:
    W = torch.from_numpy(matrix((30, 4), 1))
    there = singular_values_of(Full(LoadedTensors({"w": W}), "w", None, CPU))
    assert np.array_equal(there, singular_values([W]))


def test_a_head_of_fewer_rows_than_dimensions_has_as_many_directions_as_rows() -> None:
    one, flat = row_of(np.outer([1.0, 2.0, 3.0], np.ones(10))), row_of(3 * np.eye(3, 10))
    assert one["singular_entropy"] == pytest.approx(math.log(3), abs=1e-9)
    assert (flat["singular_entropy"], flat["effective_rank"], flat["top_singular_share"]) == pytest.approx(
        (0, 3, 1 / 3)
    )
    ranges = [metric.range for metric in SHAPE_METRICS]
    assert all("min(V, d)" in text for text in ranges)
