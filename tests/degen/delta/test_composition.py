from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from delta_matrices import normal, seeds
from hypothesis import given
from hypothesis import strategies as st

from degen.delta.composition import compose, overlap_of
from degen.delta.matrices import LowRank, Matrix
from degen.delta.spectra import decompose
from degen.delta.update import Update, Updates

NAME = "model.layers.0.mlp.up_proj.weight"


class OneModule(Updates):
    """The updates of an adapter of a single module."""

    kind = "lora"
    names: Sequence[str] = (NAME,)
    trained, parameters, tied = 1, None, False

    def __init__(self, matrix: Matrix) -> None:
        self.matrix = matrix

    def update(self, name: str) -> Update:
        return Update(name, "lora", 1, self.matrix, rounding=1e-9)


def thin(n: int, m: int, r: int, seed: int) -> LowRank:
    return LowRank(normal(n, r, seed=seed), normal(r, m, seed=seed + 1))


@given(seed=seeds, ranks=st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_overlap_is_that_of_projections_formed_whole(seed: int, ranks: tuple[int, int]) -> None:
    pair = [thin(20, 15, rank, seed + 2 * i) for i, rank in enumerate(ranks)]
    found = overlap_of(decompose(pair[0]), decompose(pair[1]))
    k = found["leading"]
    (U, _, Vt), (X, _, Yt) = (np.linalg.svd(matrix.whole().numpy()) for matrix in pair)
    outputs = np.trace(U[:, :k] @ U[:, :k].T @ X[:, :k] @ X[:, :k].T) / k
    inputs = np.trace(Vt[:k].T @ Vt[:k] @ Yt[:k].T @ Yt[:k]) / k
    assert found["overlap_output"] == pytest.approx(outputs)
    assert found["overlap_input"] == pytest.approx(inputs)
    assert 0 <= found["overlap_output"] <= 1 + 1e-12


@given(seed=seeds)
def test_the_sum_has_the_spectrum_of_the_matrix_formed(seed: int) -> None:
    matrices = [thin(20, 15, 3, seed + 2 * i) for i in range(3)]
    together = compose({f"model{i}": OneModule(matrix) for i, matrix in enumerate(matrices)})
    (row,) = together.sums
    values = torch.linalg.svdvals(sum(matrix.whole() for matrix in matrices))
    energy = sum(float(matrix.whole().norm()) ** 2 for matrix in matrices)
    assert (row["rank"], row["rank_sum"]) == (9, 9)
    assert row["norm"] == pytest.approx(float(values.norm()))
    assert row["stable_rank"] == pytest.approx(float((values**2).sum() / values[0] ** 2))
    assert row["interference"] == pytest.approx(float(values.norm()) ** 2 / energy - 1)
    assert len(together.overlaps) == 3


def test_an_update_beside_itself_its_opposite_and_another_subspace() -> None:
    Q, P = torch.linalg.qr(normal(20, 6, seed=1)).Q, torch.linalg.qr(normal(15, 6, seed=2)).Q
    one, other = LowRank(Q[:, :3], P[:, :3].T), LowRank(Q[:, 3:], P[:, 3:].T)
    opposite = LowRank(-Q[:, :3], P[:, :3].T)
    same = compose({"a": OneModule(one), "b": OneModule(one)})
    assert same.overlaps[0]["overlap_output"] == pytest.approx(1.0)
    assert (same.sums[0]["rank"], same.sums[0]["interference"]) == (3, pytest.approx(1.0))
    apart = compose({"a": OneModule(one), "b": OneModule(other)})
    assert apart.overlaps[0]["overlap_input"] == pytest.approx(0.0, abs=1e-12)
    assert (apart.sums[0]["rank"], apart.sums[0]["interference"]) == (6, pytest.approx(0.0, abs=1e-12))
    cancelled = compose({"a": OneModule(one), "b": OneModule(opposite)})
    assert cancelled.sums[0]["interference"] == pytest.approx(-1.0)


def test_updates_of_two_bases_are_named_and_not_added() -> None:
    together = compose({"a": OneModule(thin(8, 5, 2, 1)), "b": OneModule(thin(9, 5, 2, 3))})
    assert together.sums == []
    assert "8 × 5, b 9 × 5" in together.notes[0]
