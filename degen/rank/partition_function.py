"""The partition function Z(c) = Σᵢ exp(wᵢ·c) of the LM head, over the directions that make it least and largest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats, Ints
from degen.model.lm_head import Head

from .rough_products import UNIT, Singles, lengths_of, product_error

if TYPE_CHECKING:
    import torch

SAFE = 300.0  # of |x|, where neither exp(x) nor exp(−x) nor their sum is too large or too small
SAFE_IN_SINGLE = 60.0  # the same in float32
OF_EXP = 16  # units that an exponential and its reciprocal may be off in float32


def log_partition_extremes(head: Head, directions: torch.Tensor, largest: float) -> tuple[float, float]:
    """Return the least and the largest ln Z(c) over c = ±v, for every direction v.

    In float64; on a CPU of those directions alone that float32 leaves in doubt.

    Args:
        head: W, with one used row at least.
        directions: unit vectors v, one a column, d × m, float64.
        largest: what no |wᵢ·v| is above, as σ₁.
    """
    columns = _extreme_directions(head, directions) if head.device is None else None
    if columns is not None:
        directions = directions[:, columns.tolist()].contiguous()
    logs = _log_partition(head, directions, largest < SAFE)
    return float(logs.min()), float(logs.max())


def _log_partition(head: Head, directions: torch.Tensor, small: bool) -> torch.Tensor:
    """Return ln Z(v) and ln Z(−v) for every direction v, 2 × m: by log-sum-exp, a block of rows at a time.

    Args:
        head: W.
        directions: d × m.
        small: whether no |wᵢ·v| is above 300: then no exponential overflows, and exp(−x) is 1/exp(x).
    """
    import torch

    directions = directions.to(head.device if head.device is not None else "cpu")
    sums: torch.Tensor | None = None
    for block in head.blocks():
        if len(block):
            both = _log_sums(block.to(directions.device) @ directions, small)
            sums = both if sums is None else torch.logaddexp(sums, both)
    assert sums is not None
    return sums


def _log_sums(dots: torch.Tensor, small: bool) -> torch.Tensor:
    """Return ln Σᵢ exp(xᵢ) and ln Σᵢ exp(−xᵢ) of every column x, 2 × m."""
    import torch

    if not small:
        return torch.stack([torch.logsumexp(dots, dim=0), torch.logsumexp(-dots, dim=0)])
    exponentials = dots.exp_()
    up = exponentials.sum(dim=0)
    return torch.stack([up, exponentials.reciprocal_().sum(dim=0)]).log_()


def _extreme_directions(head: Head, directions: torch.Tensor) -> Ints | None:
    """Return the directions whose Z, of v or of −v, may be the least or the largest; None where float32 cannot tell.

    Every wᵢ·v is off by γ‖wᵢ‖ at most, and so is ln Z, but for what exponentials and their sums are off.
    """
    rough = directions.float()
    sums: Floats = np.zeros((2, rough.shape[1]))
    longest, most = 0.0, 1
    for _, _, stored in head.stored_blocks():
        if not len(stored):
            continue
        rows = stored.float()
        lengths: Singles = lengths_of(rows.numpy())
        longest, most = max(longest, float(lengths.max())), max(most, len(rows))
        if not longest < SAFE_IN_SINGLE:
            return None
        exponentials = (rows @ rough).exp_()  # by torch: threads of two libraries in turn wait for each other
        sums[0] += exponentials.sum(dim=0).numpy()
        sums[1] += exponentials.reciprocal_().sum(dim=0).numpy()
    logs = np.log(sums)
    error = float(product_error(longest, np.ones(1), len(rough))[0]) + (most + OF_EXP) * UNIT * 1.01
    extreme = (logs <= logs.min() + 2 * error) | (logs >= logs.max() - 2 * error)
    return np.flatnonzero(extreme.any(axis=0))
