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
