from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from heads import CAPPED, PLAIN
from hypothesis import given
from hypothesis import strategies as st

from degen.errors import CheckpointError
from degen.forward.cross_entropy import nested_token_losses
from degen.model.logit_transform import LogitTransform
from degen.probe import OutputHead
from degen.rank import nested_head
from degen.rank.gradient_share import gradient_lost
from degen.rank.linear_algebra import cholesky_factor, device_factor, factored_error, right_factors, triangular_factor
from degen.rank.nested_head import nested_heads, rotation

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(2, 40), st.integers(1, 9))  # rows of the head, dimensions


def random_case(size: tuple[int, int], seed: int, states: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return a head, and the second moment of some states; fewer of them than dimensions make it singular."""
    draw = np.random.default_rng(seed)
    h = draw.normal(size=(states or 3 * size[1] + 1, size[1])) * np.exp(draw.normal(size=size[1]))
    return draw.normal(size=size), h.T @ h / len(h)


def head_of(W: np.ndarray, transform: LogitTransform = PLAIN) -> OutputHead:
    return OutputHead(torch.from_numpy(W), None, transform)


def multiplied_out(W: np.ndarray, C: np.ndarray, method: str, rank: int) -> np.ndarray:
    """Return U_r U_rᵀ W by the factors of the probe, in float64."""
    s, V = right_factors([torch.from_numpy(W)])
    A = rotation(method, s, V, torch.from_numpy(C))[:, :rank]
    return (torch.from_numpy(W) @ (V @ (A / s[:, None])) @ (V @ (s[:, None] * A)).T).numpy()


@given(sizes, seeds)
def test_whitened_is_the_best_head_of_its_rank_in_expected_squared_logit_error(size: Any, seed: int) -> None:
    W, C = random_case(size, seed)
    values, E = np.linalg.eigh(C)
    root = E @ np.diag(np.sqrt(np.clip(values, 0, None))) @ E.T
    sigma = np.linalg.svd(W @ root, compute_uv=False)
    for rank in range(min(size) + 1):
        apart = W - multiplied_out(W, C, "whitened", rank)
        error = np.trace(apart @ C @ apart.T)
        assert error == pytest.approx((sigma[rank:] ** 2).sum(), abs=1e-8 * (sigma**2).sum())


@given(sizes, seeds, st.integers(1, 6))
def test_full_rank_is_exact_also_where_states_are_fewer_than_dimensions(size: Any, seed: int, states: int) -> None:
    W, C = random_case(size, seed, states)
    for method in ("svd", "whitened"):
        np.testing.assert_allclose(multiplied_out(W, C, method, min(size)), W, atol=1e-8 * np.abs(W).max())


@given(sizes, seeds, st.integers(1, 4))
def test_a_completed_basis_follows_the_rest_of_the_head(size: Any, seed: int, states: int) -> None:
    W, C = random_case(size, seed, states)
    seen = min(states, *size)
    errors = [np.linalg.norm(W - multiplied_out(W, C, "whitened", rank)) for rank in range(seen, min(size) + 1)]
    gains = -np.diff(np.square(errors))
    assert (np.diff(gains) <= 1e-8 * np.square(W).sum()).all()  # the largest first


@given(sizes, seeds)
def test_svd_is_the_truncated_head(size: Any, seed: int) -> None:
    W, C = random_case(size, seed)
    U, s, Vt = np.linalg.svd(W, full_matrices=False)
    for rank in range(1, min(size) + 1):
        np.testing.assert_allclose(multiplied_out(W, C, "svd", rank), (U[:, :rank] * s[:rank]) @ Vt[:rank], atol=1e-9)


@given(sizes, seeds, seeds)
def test_a_rotation_of_the_states_changes_no_loss(size: Any, seed: int, turn: int) -> None:
    W, C = random_case(size, seed)
    Q = np.linalg.qr(np.random.default_rng(turn).normal(size=(size[1], size[1])))[0]
    for rank in range(1, min(size)):
        turned = multiplied_out(W @ Q, Q.T @ C @ Q, "whitened", rank)
        left = W - multiplied_out(W, C, "whitened", rank)
        other = W - turned @ Q.T
        assert np.trace(other @ C @ other.T) == pytest.approx(np.trace(left @ C @ left.T), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("method", ["svd", "whitened"])
def test_w_error_equals_that_of_the_matrices(method: str) -> None:
    W, C = random_case((50, 8), 3)
    (nested,) = nested_heads(head_of(W), torch.from_numpy(C), [method])
    for rank in range(10):
        error = np.linalg.norm(W - multiplied_out(W, C, method, min(rank, 8))) / np.linalg.norm(W)
        assert nested.w_error(rank) == pytest.approx(error, abs=1e-9)
    U, M = nested.factor.double(), nested.map.double()
    assert factored_error(torch.from_numpy(W), U[:, :5], M[:, :5].T) == pytest.approx(nested.w_error(5), abs=1e-6)


def test_a_head_with_a_zero_direction_is_exact_at_its_own_rank() -> None:
    W, C = random_case((30, 6), 1)
    W[:, 2] = W[:, 0] + W[:, 1]
    for method in ("svd", "whitened"):
        np.testing.assert_allclose(multiplied_out(W, C, method, 5), W, atol=1e-9)
    (nested,) = nested_heads(head_of(W), torch.from_numpy(C), ["whitened"])
    assert nested.factor.shape == (30, 5)
    with pytest.raises(CheckpointError, match="zero"):
        nested_heads(head_of(0 * W), torch.from_numpy(C), ["svd"])


@given(st.integers(1, 30), st.integers(1, 300), st.integers(1, 12), seeds, st.booleans(), st.booleans())
def test_nested_losses_equal_those_of_full_logits(
    tokens: int, rows: int, rank: int, seed: int, biased: bool, capped: bool
) -> None:
    import degen.forward.cross_entropy as module

    draw = torch.Generator().manual_seed(seed)
    c, U = torch.randn(tokens, rank, generator=draw), torch.randn(rows, rank, generator=draw)
    bias = torch.randn(rows, generator=draw) if biased else None
    y = torch.randint(rows, (tokens,), generator=draw)
    transform = CAPPED if capped else PLAIN
    ranks = sorted({1, (rank + 1) // 2, rank})
    before = module.NESTED_TOKENS, module.NESTED_ROWS
    module.NESTED_TOKENS, module.NESTED_ROWS = 7, 50
    try:
        losses = nested_token_losses(c, U, bias, y, ranks, transform)
    finally:
        module.NESTED_TOKENS, module.NESTED_ROWS = before
    for k, r in enumerate(ranks):
        z = c[:, :r].double() @ U[:, :r].double().T
        z = transform(z if bias is None else z + bias.double())
        expected = torch.nn.functional.cross_entropy(z, y, reduction="none")
        torch.testing.assert_close(losses[:, k].double(), expected, atol=2e-5, rtol=1e-5)


def test_nested_losses_survive_logits_that_overflow_without_a_running_maximum() -> None:
    c, U = torch.tensor([[1.0, 1.0]]), torch.tensor([[300.0, 1.0], [-300.0, 0.0], [299.0, 4.0]])
    losses = nested_token_losses(c, U, None, torch.tensor([0]), [1, 2], PLAIN)
    expected = [torch.nn.functional.cross_entropy((c[:, :r] @ U[:, :r].T).double(), torch.tensor([0])) for r in (1, 2)]
    torch.testing.assert_close(losses[0].double(), torch.stack(expected), atol=1e-4, rtol=1e-6)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 7), seeds)
def test_factors_of_blocks_are_those_of_the_whole(cuts: list[int], width: int, seed: int) -> None:
    W = torch.from_numpy(np.random.default_rng(seed).normal(size=(sum(cuts), width)))
    R = triangular_factor(W.split(cuts))
    assert R is not None
    torch.testing.assert_close(R.T @ R, W.T @ W, atol=1e-10, rtol=1e-10)
    s, V = right_factors(W.split(cuts))
    torch.testing.assert_close(s, torch.linalg.svdvals(W)[: len(s)], atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(V.T @ V, torch.eye(len(s), dtype=torch.float64), atol=1e-10, rtol=1e-10)


@given(st.integers(1, 5), st.booleans(), st.booleans(), seeds)
def test_the_lost_share_of_the_gradient_equals_autograds(width: int, biased: bool, capped: bool, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    W, h = torch.randn(40, width, generator=draw), torch.randn(9, width, generator=draw)
    bias = torch.randn(40, generator=draw) if biased else None
    y = torch.randint(40, (9,), generator=draw)
    head = OutputHead(W, bias, CAPPED if capped else PLAIN)
    z = (h.double() @ W.double().T + (0 if bias is None else bias.double())).requires_grad_()
    losses = torch.nn.functional.cross_entropy(3 * torch.tanh(0.5 * z / 3) if capped else z, y, reduction="none")
    losses.sum().backward()
    g, Q = z.grad, torch.linalg.qr(W.double())[0]
    assert g is not None
    expected = 1 - (g @ Q).norm(dim=1) / g.norm(dim=1)
    shares = gradient_lost(h, y, losses.detach().float(), head, Q.float())
    torch.testing.assert_close(shares.double(), expected, atol=1e-4, rtol=1e-3)


def of_condition(rows: int, width: int, condition: float) -> np.ndarray:
    """Return a random matrix with singular values from 1 down to 1 / condition."""
    draw = np.random.default_rng(0)
    Q, V = (np.linalg.qr(draw.normal(size=(n, width)))[0] for n in (rows, width))
    return (Q * np.logspace(0, -math.log10(condition), width)) @ V.T


@pytest.mark.parametrize("exponent", [0, 3, 5, 7, 9, 12, 15])
def test_factors_as_an_accelerator_makes_them_have_the_singular_values_of_the_head(exponent: int) -> None:
    """CholeskyQR2 is taken where it is as good as Householder QR, and refused before it is not."""
    W = of_condition(900, 60, 10.0**exponent)
    pieces = torch.from_numpy(W).split(400)
    R = cholesky_factor(pieces)
    assert (R is not None) == (exponent <= 7)
    expected = np.linalg.svd(W, compute_uv=False)
    for triangle in (device_factor(pieces), *([R] if R is not None else [])):
        assert np.array_equal(triangle.triu(), triangle)
        assert np.allclose(torch.linalg.svdvals(triangle), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("W", [np.zeros((30, 4)), np.ones((30, 4)), np.full((30, 4), 1e200), np.eye(3, 7)])
def test_heads_that_have_no_factor_by_cholesky_are_factored_all_the_same(W: np.ndarray) -> None:
    pieces = torch.from_numpy(W).split(8)
    assert cholesky_factor(pieces) is None
    expected = np.linalg.svd(W, compute_uv=False)
    assert np.allclose(torch.linalg.svdvals(device_factor(pieces)), expected, rtol=1e-12, atol=1e-12 * expected[0])


@pytest.mark.parametrize("method", ["svd", "whitened"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_restricted_heads_as_an_accelerator_makes_them_are_those_of_a_cpu(
    method: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    W, C = random_case((300, 8), 5)
    head = OutputHead(torch.from_numpy(W).to(dtype), None, PLAIN)
    (expected,) = nested_heads(head, torch.from_numpy(C), [method])
    monkeypatch.setattr(nested_head, "factor_device", lambda device: device)
    monkeypatch.setattr(nested_head, "DEVICE_BLOCK", 64)
    (nested,) = nested_heads(head, torch.from_numpy(C), [method])
    np.testing.assert_allclose(nested.energy, expected.energy, rtol=0, atol=1e-11 * expected.energy[0])
    for rank in range(1, 9):
        ours, theirs = (n.factor[:, :rank] @ n.map[:, :rank].T for n in (nested, expected))
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-5)
