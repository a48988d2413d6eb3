from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from degen.stats.power_law_tail import power_law_tail
from degen.weight_spectra import matrix_figures as module
from degen.weight_spectra.matrix_figures import RowBlocks, block_rows, is_taken_in_blocks, matrix_figures

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(2, 40), st.integers(2, 12))


def figures(W: torch.Tensor) -> dict[str, Any]:
    shape = (W.shape[0], W.shape[1])
    return matrix_figures(RowBlocks(shape, iter(W.split(block_rows(shape)))))


def explicit(W: np.ndarray) -> dict[str, float]:
    """Return the figures by NumPy, in float64."""
    W = W.astype(np.float64)
    s = np.linalg.svd(W, compute_uv=False)
    p, q = s**2 / (s**2).sum(), s / s.sum()
    p, q = p[p > 0], q[q > 0]
    entropy = math.log(len(s)) + (p * np.log(p)).sum()
    return {
        "stable_rank": (s**2).sum() / s[0] ** 2,
        "effective_rank": math.exp(-(q * np.log(q)).sum()),
        "singular_entropy": entropy,
        "singular_entropy_share": entropy / math.log(len(s)),
        "spectral_norm": s[0],
        "max_over_q99": np.abs(W).max() / np.quantile(np.abs(W), 0.99),
    }


def check(row: dict[str, Any], expected: dict[str, float], rounding: float = 1e-8) -> None:
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=rounding, abs=rounding), name


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@given(size=sizes, seed=seeds)
def test_figures_are_numpys_of_the_stored_numbers(dtype: torch.dtype, size: tuple[int, int], seed: int) -> None:
    W = torch.from_numpy(np.random.default_rng(seed).normal(size=size)).to(dtype)
    before = W.clone()
    row = figures(W)
    check(row, explicit(W.double().numpy()))
    tail = power_law_tail(np.linalg.svd(W.double().numpy(), compute_uv=False) ** 2)
    assert tail is not None
    assert row["tail_exponent"] == pytest.approx(tail.exponent, rel=1e-8)
    assert row["tail_count"] == tail.count
    assert "needs 50" in row["reason"]
    assert torch.equal(W, before)  # what is stored is not written to


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tall_matrix_in_blocks_has_the_figures_that_it_has_whole(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    W = torch.from_numpy(np.random.default_rng(0).normal(size=(1000, 8))).to(dtype)
    assert not is_taken_in_blocks((1000, 8))
    whole = figures(W)
    monkeypatch.setattr(module, "MANY", 1)
    assert is_taken_in_blocks((1000, 8))
    assert block_rows((1000, 8)) == 32
    check(figures(W), {name: value for name, value in whole.items() if isinstance(value, float)}, 1e-10)


@given(sizes, seeds, st.floats(-30, 30))
def test_scale_transposition_order_and_rotation_change_no_rank_and_no_entropy(
    size: tuple[int, int], seed: int, exponent: float
) -> None:
    rng = np.random.default_rng(seed)
    W = rng.normal(size=size)
    Q, _ = np.linalg.qr(rng.normal(size=(size[1], size[1])))
    plain = explicit(W)
    spectral = {name: value for name, value in plain.items() if name not in ("max_over_q99", "spectral_norm")}
    scaled = figures(torch.from_numpy(W * 10.0**exponent))
    check(scaled, {name: value for name, value in plain.items() if name != "spectral_norm"})
    assert scaled["spectral_norm"] == pytest.approx(plain["spectral_norm"] * 10.0**exponent, rel=1e-9)
    moved = figures(torch.from_numpy(np.ascontiguousarray(W.T[:, rng.permutation(size[0])])))
    check(moved, plain)
    check(figures(torch.from_numpy(W @ Q)), spectral)


@given(st.integers(2, 12), seeds)
def test_one_direction_and_equal_directions_are_the_ends(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.normal(size=(size + 3, size)))
    flat = figures(torch.from_numpy(3 * Q))
    check(flat, {"stable_rank": size, "effective_rank": size, "singular_entropy": 0, "spectral_norm": 3}, 1e-7)
    one = figures(torch.from_numpy(np.outer(rng.normal(size=size + 3), rng.normal(size=size))))
    check(one, {"stable_rank": 1, "effective_rank": 1, "singular_entropy_share": 1}, 1e-6)


def test_a_gaussian_matrix_has_the_figures_of_marchenko_and_pastur() -> None:
    """Σσ² = nm, σ₁ = √n + √m, KL ≈ n/2m for n ≪ m, and the 0.99 quantile of |w| is 2.576."""
    n, m = 150, 3000
    W = torch.from_numpy(np.random.default_rng(3).normal(size=(n, m)))
    row = figures(W)
    assert row["spectral_norm"] == pytest.approx(math.sqrt(n) + math.sqrt(m), rel=0.02)
    assert row["stable_rank"] == pytest.approx(n / (1 + math.sqrt(n / m)) ** 2, rel=0.04)
    assert row["singular_entropy"] == pytest.approx(n / (2 * m), rel=0.05)
    assert row["effective_rank"] == pytest.approx(n * math.exp(-n / (8 * m)), rel=0.005)
    assert row["max_over_q99"] == pytest.approx(float(W.abs().max()) / 2.5758, rel=0.01)


def test_eigenvalues_of_a_power_law_have_its_exponent() -> None:
    n, exponent = 800, 3.0
    eigenvalues = (1 - (np.arange(n) + 0.5) / n) ** (-1 / (exponent - 1))
    Q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))
    row = figures(torch.from_numpy(Q * np.sqrt(eigenvalues)))
    assert row["tail_exponent"] == pytest.approx(exponent, abs=0.1)
    assert row["tail_count"] > 400
    assert row["reason"] is None


@given(sizes, seeds)
def test_the_size_of_the_largest_entries_does_not_hang_on_their_type(size: tuple[int, int], seed: int) -> None:
    W = torch.from_numpy(np.random.default_rng(seed).normal(size=size)).to(torch.bfloat16)
    assume(bool(W.any()))
    assert figures(W)["max_over_q99"] == figures(W.double())["max_over_q99"]


@pytest.mark.parametrize(
    ("W", "reason"),
    [
        (torch.zeros(4, 3), "all of it is zero"),
        (torch.full((4, 3), math.nan), "it holds NaN or infinity"),
        (torch.eye(4) * math.inf, "it holds NaN or infinity"),
    ],
)
def test_what_has_no_spectrum_has_a_reason_alone(W: torch.Tensor, reason: str) -> None:
    assert figures(W) == {"reason": reason}


def test_what_rounding_leaves_of_zeros_is_in_no_tail() -> None:
    found = figures(torch.full((512, 300), 0.3, dtype=torch.float64))
    assert (found["tail_exponent"], found["tail_count"]) == (None, None)
    assert found["reason"] == "too few singular values for a tail"
    generator = torch.Generator().manual_seed(1)
    thin = torch.randn(512, 60, generator=generator, dtype=torch.float64)
    low_rank = figures(thin @ torch.randn(60, 300, generator=generator, dtype=torch.float64))
    assert low_rank["tail_count"] <= 60
