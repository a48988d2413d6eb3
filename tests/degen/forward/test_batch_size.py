from __future__ import annotations

import pytest
import torch

from degen.forward.batch_size import auto_batch_tokens
from degen.model.architecture import Architecture


@pytest.mark.parametrize(("width", "longest"), [(32, 512), (4096, 512), (32, 100_000), (1_000_000, 16)])
def test_a_batch_holds_whole_windows_and_one_at_least(width: int, longest: int) -> None:
    shape = Architecture("x", "x", 1, 1, 0, 1, width, width, width, 1, False, None)
    tokens = auto_batch_tokens(shape, longest, torch.device("cpu"))
    assert tokens % longest == 0
    assert longest <= tokens <= max(8192, longest)


@pytest.mark.parametrize(("width", "longest", "expected"), [
    (32, 512, 16_384), (1024, 500, 16_000), (4096, 512, 5120), (4096, 100_000, 100_000),
])  # fmt: skip
def test_a_batch_of_an_accelerator_takes_half_of_its_free_memory_and_a_number_of_tokens_at_most(
    width: int, longest: int, expected: int
) -> None:
    """Apple's devices do not tell how much is free: 4 GiB, of which a token takes 96 bytes for each dimension."""
    shape = Architecture("x", "x", 1, 1, 0, 1, width, width, width, 1, False, None)
    assert auto_batch_tokens(shape, longest, torch.device("mps")) == expected


@pytest.mark.parametrize(("free", "to_load", "expected"), [
    (80 << 30, 0, 16_384), (3 << 30, 0, 4096), (1 << 30, 0, 1024), (1 << 20, 0, 512),
    (16 << 30, 13 << 30, 4096), (16 << 30, 20 << 30, 512),
])  # fmt: skip
def test_a_batch_takes_half_of_the_memory_that_a_device_says_is_free_beside_the_weights(
    free: int, to_load: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """384 KiB a token, by hand: 3 GiB / 2 / 384 KiB = 4,096 tokens; a window goes through alone if it must."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 << 30))
    shape = Architecture("x", "x", 1, 1, 0, 1, 4096, 4096, 4096, 1, False, None)
    assert auto_batch_tokens(shape, 512, torch.device("cuda", 1), to_load) == expected
