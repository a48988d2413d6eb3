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
