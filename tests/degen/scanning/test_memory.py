"""The memory of a pass on an accelerator, from its formula by hand."""

from __future__ import annotations

import pytest
import torch

from degen.model.architecture import Architecture
from degen.scanning.memory import pass_memory
from degen.scanning.settings import Settings

MPS = torch.device("mps")  # does not say how much of its memory is free: 4 GiB are taken for free
TILE = 10 << 26  # ten bytes for each of 2²⁶ logits


def test_an_accelerator_holds_the_weights_a_batch_and_a_tile_of_logits() -> None:
    shape = Architecture("x", "x", 10**6, 10**6, 0, 1, 4096, 4096, 4096, 1, False, None)
    settings = Settings((), context=512, tokens=50_000)
    free = (4 << 30) - 2 * 10**6
    tokens = free // 2 // (96 * 4096) // 512 * 512
    assert pass_memory(shape, 2 * 10**6, settings, MPS) == 2 * 10**6 + tokens * 96 * 4096 + TILE
    assert pass_memory(shape, 2 * 10**6, Settings((), context=512, tokens=700, batch_size=1), MPS) == (
        2 * 10**6 + 512 * 96 * 4096 + TILE
    )


@pytest.mark.parametrize(("stored", "dtype", "value"), [(2, "auto", 2), (4, "auto", 4), (4, "bfloat16", 2)])
def test_weights_take_what_the_dtype_of_the_pass_says(stored: int, dtype: str, value: int) -> None:
    shape = Architecture("x", "x", 10**6, 10**6, 0, 1, 64, 64, 64, 1, False, None)
    settings = Settings((), context=16, tokens=16, dtype=dtype)
    assert pass_memory(shape, stored * 10**6, settings, MPS) == value * 10**6 + 16 * 96 * 64 + TILE
