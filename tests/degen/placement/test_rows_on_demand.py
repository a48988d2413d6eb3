"""Rows that are fetched when they are read give what the matrix gives, and only those that are read are fetched."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from degen.forward.cross_entropy import TILE_ROWS, fetched_losses, tiled_losses
from degen.model.logit_transform import LogitTransform
from degen.placement.rows_on_demand import is_on_demand, rows_on_demand
from degen.placement.rows_tensor import BLOCK


class Fetched:
    """A matrix beside the same one on demand, and the ranges of rows that were fetched of it."""

    def __init__(self, rows: int, width: int = 6, dtype: Any = torch.float32) -> None:
        self.matrix = torch.randn(rows, width, generator=torch.Generator().manual_seed(rows)).to(dtype)
        self.ranges: list[tuple[int, int]] = []
        self.on_demand = rows_on_demand((rows, width), dtype, torch.device("cpu"), self.fetch)

    def fetch(self, first: int, last: int) -> torch.Tensor:
        self.ranges.append((first, last))
        return self.matrix[first:last]


def test_its_form_is_known_without_fetching() -> None:
    it = Fetched(10, dtype=torch.bfloat16)
    matrix = it.on_demand.detach()
    assert (len(matrix), tuple(matrix.shape), matrix.dim(), matrix.numel()) == (10, (10, 6), 2, 60)
    assert (matrix.dtype, matrix.device.type, matrix.element_size()) == (torch.bfloat16, "cpu", 2)
    assert is_on_demand(matrix)
    assert not is_on_demand(it.matrix)
    assert it.ranges == []


@pytest.mark.parametrize("rows", [slice(2, 5), slice(7, None), slice(0, 99), slice(4, 4), slice(None)])
def test_a_slice_fetches_these_rows_alone(rows: slice) -> None:
    it = Fetched(10)
    assert torch.equal(it.on_demand[rows], it.matrix[rows])
    first, last, _ = rows.indices(10)
    assert it.ranges == [(first, last)]


@pytest.mark.parametrize("step", [2, 7, 5000])
def test_every_nth_row_is_fetched_in_blocks(step: int) -> None:
    it = Fetched(2 * BLOCK + 5)
    assert torch.equal(it.on_demand[::step], it.matrix[::step])
    assert max(last - first for first, last in it.ranges) <= max(BLOCK, step)


def test_any_other_function_gets_the_whole() -> None:
    it, states = Fetched(10), torch.randn(3, 6)
    expected = states @ it.matrix.T
    assert torch.equal(torch.nn.functional.linear(states, it.on_demand), expected)
    assert torch.equal(states @ it.on_demand.T, expected)
    assert torch.equal(it.on_demand[torch.tensor([3, 1])], it.matrix[[3, 1]])
    assert torch.equal(it.on_demand.double(), it.matrix.double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
def test_losses_are_those_of_the_matrix_to_the_bit(dtype: Any, bias: bool) -> None:
    it = Fetched(TILE_ROWS + 100, dtype=dtype)
    b = torch.linspace(-1, 1, len(it.matrix)).to(dtype) if bias else None
    states = torch.randn(1500, 6, generator=torch.Generator().manual_seed(1)).to(dtype)
    targets = torch.arange(1500) * 5
    transform = LogitTransform(2.0, 30.0)
    expected = tiled_losses(states, targets, SimpleNamespace(weight=it.matrix, bias=b), transform)
    losses = fetched_losses(states, targets, SimpleNamespace(weight=it.on_demand, bias=b), transform)
    assert torch.equal(losses, expected)
    assert it.ranges == [(0, TILE_ROWS), (TILE_ROWS, TILE_ROWS + 100)]
