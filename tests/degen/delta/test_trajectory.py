from __future__ import annotations

import numpy as np
import pytest
import torch
from delta_matrices import normal, seeds
from hypothesis import given
from hypothesis import strategies as st

from degen.delta import trajectory
from degen.delta.trajectory import measure_trajectory
from degen.errors import CheckpointError, NotFiniteError
from degen.weights.open_weights import LoadedTensors

SHAPES = {"a.weight": (7, 5), "b.bias": (9,), "experts": (2, 3, 4)}


def points(thetas: torch.Tensor) -> list[LoadedTensors]:
    """Return checkpoints whose tensors hold the entries of each row."""
    sizes = [int(np.prod(shape)) for shape in SHAPES.values()]
    return [
        LoadedTensors({
            name: part.reshape(shape) for (name, shape), part in zip(SHAPES.items(), row.split(sizes), strict=True)
        })
        for row in thetas
    ]  # fmt: skip


N = sum(int(np.prod(shape)) for shape in SHAPES.values())


@given(count=st.integers(3, 8), seed=seeds, block=st.sampled_from([8, 1 << 21]))
def test_the_ratio_is_that_of_the_differences_formed_whole(count: int, seed: int, block: int) -> None:
    thetas = normal(count, N, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trajectory, "BLOCK_VALUES", block)
        found = measure_trajectory(points(thetas))
    moved = (thetas[1:] - thetas[0]).numpy()
    energy = np.linalg.svd(moved, compute_uv=False) ** 2
    assert found.participation_ratio == pytest.approx(energy.sum() ** 2 / (energy**2).sum(), rel=1e-9)
    assert found.lengths == pytest.approx(np.linalg.norm(moved, axis=1))
    assert found.points == count - 1
    assert found.d90 == int(np.searchsorted(np.cumsum(energy), 0.9 * energy.sum()) + 1)


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_orthogonal_steps_of_equal_length_have_their_number_as_dimension(dimension: int) -> None:
    start = normal(1, N, seed=1)
    steps = torch.linalg.qr(normal(N, dimension, seed=2)).Q.T
    found = measure_trajectory(points(torch.cat([start, start + 3 * steps, start - 3 * steps])))
    assert found.participation_ratio == pytest.approx(dimension)
    assert found.d90 == dimension


def test_a_straight_line_has_one_dimension_and_no_movement_none() -> None:
    start, step = normal(1, N, seed=1), normal(1, N, seed=2)
    line = torch.cat([start + t * step for t in range(6)])
    assert measure_trajectory(points(line)).participation_ratio == pytest.approx(1.0)
    still = measure_trajectory(points(start.repeat(4, 1)))
    assert (still.participation_ratio, still.d90) == (None, 0)


def test_too_few_others_or_not_finite_are_refused() -> None:
    thetas = normal(3, N, seed=1)
    with pytest.raises(CheckpointError, match="needs 3 checkpoints"):
        measure_trajectory(points(thetas[:2]))
    with pytest.raises(CheckpointError, match=r"no tensor a\.weight of the shape"):
        measure_trajectory([*points(thetas[:2]), LoadedTensors({"a.weight": torch.ones(2, 2)})])
    thetas[1, 3] = float("inf")
    with pytest.raises(NotFiniteError, match="NaN or infinity"):
        measure_trajectory(points(thetas))
