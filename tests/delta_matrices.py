"""Random matrices for the tests of updates."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

seeds = st.integers(0, 2**32 - 1)


def normal(*shape: int, seed: int) -> torch.Tensor:
    """Return a matrix of standard normal numbers, float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
