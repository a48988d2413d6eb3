"""Scales, caps and biases after a head, measured."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from degen.forward.fit_transform import fit_transform, ladder


def products(bias: bool = False, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    W, h = torch.randn(50, 8, generator=draw), torch.randn(1, 16, 8, generator=draw)
    b = torch.randn(50, generator=draw) if bias else torch.zeros(50)
    return (ladder(h, W)[0] @ W.T + b).double()


def test_the_first_state_is_zero_and_the_others_grow_to_a_million() -> None:
    u = products().abs().amax(dim=1)
    assert u[0] == 0
    assert u[1].item() == pytest.approx(0.25, rel=1e-5)
    assert u[-1].item() == pytest.approx(1e6, rel=1e-5)
    assert (u.diff() > 0).all()


@given(st.floats(0.01, 20), st.none() | st.floats(0.5, 100), st.booleans())
def test_a_scale_and_a_cap_are_found(scale: float, cap: float | None, bias: bool) -> None:
    u = products(bias)
    z = scale * u if cap is None else cap * torch.tanh(scale * u / cap)
    found = fit_transform(u, z, [], 1e-5, 1e-5)
    assert found is not None
    transform, biased = found
    assert not biased
    assert transform.scale == pytest.approx(scale, rel=1e-6)
    assert (transform.cap is None) == (cap is None)
    assert cap is None or transform.cap == pytest.approx(cap, rel=1e-6)


def test_what_is_added_to_the_logits_is_found() -> None:
    u = products()
    added = torch.randn(50, generator=torch.Generator().manual_seed(1)).double()
    found = fit_transform(u, 0.5 * u + added, [], 1e-5, 1e-5)
    assert found is not None
    assert (found[0].scale, found[1]) == (pytest.approx(0.5, rel=1e-6), True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rounded_logits_give_the_number_of_the_configuration(dtype: Any) -> None:
    u = products().clamp(-2e4, 2e4)
    for numbers, scale, cap in (([32], 1 / math.sqrt(32), None), ([3.0, 30.0], 1 / 3.0, 30.0)):
        z = scale * u if cap is None else cap * torch.tanh(scale * u / cap)
        found = fit_transform(u, z.to(dtype).double(), numbers, 1e-2, 4e-3)
        assert found is not None
        assert (found[0].scale, found[0].cap) == (scale, cap)


@pytest.mark.parametrize("other", [lambda u: u.clamp(-5, 5), lambda u: u + 0.3 * u.abs(), lambda u: u.roll(1, 1)])
def test_anything_else_is_not_taken_for_one_of_them(other: Any) -> None:
    u = products()
    assert fit_transform(u, other(u), [], 1e-5, 1e-5) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_orthogonal_to_every_row_give_way_to_one_whose_logits_are_no_rounding(dtype: Any) -> None:
    W = torch.ones(50, 8)
    W[7] *= 2
    h = torch.randn(1, 16, 8, generator=torch.Generator().manual_seed(0))
    h -= h.mean(dim=-1, keepdim=True)  # rounding is all that is left of h · 1
    handed = ladder(h.to(dtype), W.to(dtype))[0].float()
    cosines = (handed[1:] @ W.T).abs().amax(dim=1) / handed[1:].norm(dim=1) / W.norm(dim=1).max()
    assert (cosines > 0.99).all()
    assert ((handed @ W.T).abs().amax(dim=1)[[1, -1]] - torch.tensor([0.25, 1e6])).abs()[0] < 0.01


def test_rows_of_a_head_that_are_not_finite_hide_no_scale() -> None:
    u = products()
    broken = u.clone()
    broken[:, 3], broken[:, 5], broken[0, 5] = math.inf, -math.inf, math.nan
    assert fit_transform(broken, 0.5 * broken, [], 1e-5, 1e-5) == fit_transform(u, 0.5 * u, [], 1e-5, 1e-5)
    assert fit_transform(broken.tanh(), broken, [], 1e-5, 1e-5) is None
