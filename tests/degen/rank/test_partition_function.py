"""The least and the largest Z(c) over some directions, against all of them in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from head_matrices import head_of, normal, rotation
from hypothesis import given, settings
from hypothesis import strategies as st

from degen.arrays import Floats
from degen.rank.partition_function import log_partition_extremes


def twin(W: Floats, directions: Floats) -> tuple[float, float]:
    """Return the least and the largest ln Z over ± every column, by exponentials less their largest."""
    logs = []
    for v in directions.T:
        for x in (W @ v, -W @ v):
            logs.append(float(x.max()) + math.log(math.fsum(np.exp(x - x.max()).tolist())))
    return min(logs), max(logs)


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 30), st.floats(-3, 3), st.floats(0, 5))
def test_extremes_are_those_of_all_directions(seed: int, width: int, exponent: float, shift: float) -> None:
    W = 10**exponent * normal((200, width), seed, shift)
    directions = rotation(width, seed)
    largest = float(np.linalg.svd(W, compute_uv=False)[0])
    found = log_partition_extremes(head_of(W), torch.from_numpy(directions), largest)
    assert found == pytest.approx(twin(W, directions), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("length", [1.0, 40.0, 59.0, 80.0, 1000.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_directions_that_float32_does_not_tell_apart_are_told_apart(length: float, dtype: type) -> None:
    """Of rows ±a_k e_k, Z(e_k) = 2 cosh a_k + 2(d − 1), with a_k in steps of a millionth, in an order that is drawn."""
    d = 40
    a = (length + 1e-6 * length * np.random.default_rng(0).permutation(d)).astype(dtype).astype(np.float64)
    W = np.concatenate([np.diag(a), -np.diag(a)]).astype(dtype)
    logs = np.logaddexp(np.logaddexp(a, -a), math.log(2 * (d - 1)))
    found = log_partition_extremes(head_of(W), torch.eye(d, dtype=torch.float64), length * 1.01)
    assert found == pytest.approx((logs.min(), logs.max()), rel=1e-13, abs=1e-12)


def test_directions_of_many_blocks_with_unused_rows_add_up() -> None:
    W = normal((9000, 6), 1, 2.0)
    used = np.flatnonzero(np.arange(9000) % 3 < 2)
    used = used[(used < 4096) | (used >= 8192)]  # a block without a used row
    directions = rotation(6, 1)
    found = log_partition_extremes(head_of(W, used=used), torch.from_numpy(directions), 1e3)
    assert found == pytest.approx(twin(W[used], directions), rel=1e-12)
