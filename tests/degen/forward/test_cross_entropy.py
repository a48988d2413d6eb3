from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from degen.forward import cross_entropy
from degen.model.logit_transform import LogitTransform


def expected(h: torch.Tensor, y: torch.Tensor, head: Any, scale: float, cap: float | None) -> torch.Tensor:
    z = h.double() @ head.weight.double().T
    z = (z if head.bias is None else z + head.bias.double()) * scale
    z = z if cap is None else cap * torch.tanh(z / cap)
    return torch.nn.functional.cross_entropy(z, y, reduction="none")


def random_inputs(tokens: int, rows: int, width: int, bias: bool, seed: int, size: float = 1.0) -> tuple[Any, Any, Any]:
    generator = torch.Generator().manual_seed(seed)
    head = torch.nn.Linear(width, rows, bias=bias)
    with torch.no_grad():
        head.weight.copy_(size * torch.randn(rows, width, generator=generator))
        if bias:
            head.bias.copy_(torch.randn(rows, generator=generator))
    h = torch.randn(tokens, width, generator=generator)
    return h, torch.randint(rows, (tokens,), generator=generator), head


@given(
    tokens=st.integers(1, 13),
    rows=st.integers(1, 23),
    tiles=st.tuples(st.integers(1, 8), st.integers(1, 30)),
    bias=st.booleans(),
    scale=st.sampled_from([1.0, 0.0625, 3.0]),
    cap=st.sampled_from([None, 1.0, 5.0, 30.0]),
    seed=st.integers(0, 2**31),
)
def test_tiles_of_any_size_give_the_loss_of_whole_logits(
    tokens: int, rows: int, tiles: tuple[int, int], bias: bool, scale: float, cap: float | None, seed: int
) -> None:
    h, y, head = random_inputs(tokens, rows, 6, bias, seed)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(cross_entropy, "TILE_TOKENS", tiles[0])
        patch.setattr(cross_entropy, "TILE_ROWS", tiles[1])
        losses = cross_entropy.token_losses(h, y, head, LogitTransform(scale=scale, cap=cap))
    assert losses.shape == y.shape
    assert torch.allclose(losses.double(), expected(h, y, head, scale, cap), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [100, cross_entropy.TILE_ROWS, cross_entropy.TILE_ROWS + 1, 20_001])
def test_vocabularies_near_the_default_tile_size_give_the_loss_of_whole_logits(rows: int) -> None:
    h, y, head = random_inputs(cross_entropy.TILE_TOKENS + 3, rows, 4, True, 1)
    y[0], y[1], y[-1] = 0, rows - 1, min(rows - 1, cross_entropy.TILE_ROWS)
    with torch.inference_mode():
        losses = cross_entropy.token_losses(h, y, head, LogitTransform())
    assert torch.allclose(losses.double(), expected(h, y, head, 1.0, None), rtol=1e-5, atol=1e-5)
    assert losses.double().mean().item() == pytest.approx(expected(h, y, head, 1.0, None).mean().item(), abs=1e-6)


def test_logits_far_apart_neither_overflow_nor_vanish() -> None:
    h, y, head = random_inputs(50, 40, 8, False, 2, size=200.0)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(cross_entropy, "TILE_ROWS", 7)
        losses = cross_entropy.token_losses(h, y, head, LogitTransform())
    true = expected(h, y, head, 1.0, None)
    assert true.max() > 500
    assert torch.allclose(losses.double(), true, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bias", [True, False])
def test_half_precision_logits_are_summed_in_float32(dtype: torch.dtype, bias: bool) -> None:
    """Logits are rounded as the model rounds its own; nothing else is."""
    h, y, head = random_inputs(60, 90, 16, bias, 3)
    h, head = h.to(dtype), head.to(dtype)
    with torch.inference_mode():
        losses = cross_entropy.token_losses(h, y, head, LogitTransform(cap=5.0))
        z = 5.0 * torch.tanh(head(h).double() / 5.0)
    assert losses.dtype == torch.float32
    true = torch.nn.functional.cross_entropy(z, y, reduction="none")
    assert torch.allclose(losses.double(), true, rtol=1e-5, atol=1e-5)


def test_no_tokens_give_no_losses() -> None:
    h, y, head = random_inputs(0, 5, 3, False, 4)
    with torch.inference_mode():
        assert len(cross_entropy.token_losses(h, y, head, LogitTransform())) == 0


@given(
    tokens=st.integers(1, 13),
    rows=st.integers(1, 23),
    logits=st.integers(1, 200),
    bias=st.booleans(),
    cap=st.sampled_from([None, 1.0, 30.0]),
    seed=st.integers(0, 2**31),
)
def test_tiles_of_whole_rows_as_on_an_accelerator_give_the_loss_of_whole_logits(
    tokens: int, rows: int, logits: int, bias: bool, cap: float | None, seed: int
) -> None:
    h, y, head = random_inputs(tokens, rows, 6, bias, seed)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(cross_entropy, "DEVICE_LOGITS", logits)
        losses = cross_entropy.whole_row_losses(h, y, head, LogitTransform(cap=cap))
    assert torch.allclose(losses.double(), expected(h, y, head, 1.0, cap), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("losses_of", [cross_entropy.tiled_losses, cross_entropy.whole_row_losses])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_selected_tile_by_tile_give_the_bits_of_states_selected_at_once(
    losses_of: Any, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_entropy, "TILE_TOKENS", 7)
    monkeypatch.setattr(cross_entropy, "DEVICE_LOGITS", 7 * 50)
    h, y, head = random_inputs(60, 50, 16, True, 3)
    states, head = h.view(5, 12, 16).to(dtype), head.to(dtype)
    at = (torch.rand(5, 11) < 0.7).nonzero(as_tuple=True)
    targets = y.view(5, 12)[:, 1:][at]
    with torch.inference_mode():
        selected = losses_of(states, targets, head, LogitTransform(), at)
        assert torch.equal(selected, losses_of(states[at], targets, head, LogitTransform()))
    exact = expected(states[at].float(), targets, head.float(), 1.0, None)
    assert torch.allclose(selected.double(), exact, rtol=0, atol=1e-5 if dtype == torch.float32 else 0.05)


@pytest.mark.parametrize("rows", [7, 400, 50_304, 256_000])
def test_a_tile_of_an_accelerator_holds_whole_rows_and_no_more_logits_than_it_may(rows: int) -> None:
    tokens, whole = cross_entropy._nested_tile(torch.device("cuda"), rows)
    assert whole == rows
    assert 0.5 * cross_entropy.DEVICE_LOGITS < tokens * rows <= cross_entropy.DEVICE_LOGITS
    assert tokens % 128 == 0
    assert cross_entropy._nested_tile(torch.device("cpu"), rows) == (256, 4096)
