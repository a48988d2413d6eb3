from __future__ import annotations

import numpy as np
import pytest
import torch
from delta_matrices import normal, seeds
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard

from degen.delta.against_base import AgainstBase, compare_with_base
from degen.delta.matrices import LowRank, ReadRows
from degen.delta.spectra import decompose

shapes = st.sampled_from([(30, 12), (12, 30), (20, 20)])


def read(values: torch.Tensor) -> ReadRows:
    return ReadRows((values.shape[0], values.shape[1]), lambda i, j: values[i:j])


def compare(base: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> AgainstBase:
    update = LowRank(left, right)
    return compare_with_base(read(base), update, decompose(update))


def twin(base: torch.Tensor, change: torch.Tensor) -> AgainstBase:
    """Compare by three SVDs of matrices formed whole."""
    W, D = base.numpy(), change.numpy()
    U, _, Vt = np.linalg.svd(W, full_matrices=False)
    X, d, Yt = np.linalg.svd(D, full_matrices=False)
    Z, _, _ = np.linalg.svd(W + D, full_matrices=False)
    k = int(np.searchsorted(np.cumsum(d**2), 0.9 * (d**2).sum()) + 1)
    cosines = np.abs(Z[:, :10].T @ U).max(axis=1)
    return AgainstBase(
        base_norm=np.linalg.norm(W), relative_norm=np.linalg.norm(D) / np.linalg.norm(W), leading=k,
        overlap_output=np.linalg.norm(X[:, :k].T @ U[:, :k]) ** 2 / k,
        overlap_input=np.linalg.norm(Yt[:k] @ Vt[:k].T) ** 2 / k,
        amplification=np.sqrt((d[:k] ** 2).sum()) / np.linalg.norm(X[:, :k].T @ W @ Yt[:k].T),
        intruders=int((cosines < 0.5).sum()), intruder_similarity=cosines.min(),
    )  # fmt: skip


@given(shape=shapes, rank=st.integers(1, 5), seed=seeds, scale=st.sampled_from([0.01, 1.0, 30.0]))
def test_figures_equal_those_of_three_svds(shape: tuple[int, int], rank: int, seed: int, scale: float) -> None:
    base = normal(*shape, seed=seed)
    left, right = scale * normal(shape[0], rank, seed=seed + 1), normal(rank, shape[1], seed=seed + 2)
    found, expected = compare(base, left, right), twin(base, left @ right)
    for name in AgainstBase.__dataclass_fields__:
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-6, abs=1e-6), name


@given(shape=shapes, seed=seeds)
def test_transposing_swaps_input_and_output(shape: tuple[int, int], seed: int) -> None:
    base, left, right = (
        normal(*shape, seed=seed),
        normal(shape[0], 3, seed=seed + 1),
        normal(3, shape[1], seed=seed + 2),
    )
    found, turned = compare(base, left, right), compare(base.T.contiguous(), right.T, left.T)
    assert found.overlap_output == pytest.approx(turned.overlap_input)
    assert found.overlap_input == pytest.approx(turned.overlap_output)
    assert found.amplification == pytest.approx(turned.amplification)
    assert found.relative_norm == pytest.approx(turned.relative_norm)


@pytest.mark.parametrize("shape", [(40, 28), (28, 40)])
@pytest.mark.parametrize("planted", [0, 1, 3])
def test_planted_intruder_directions_are_counted(shape: tuple[int, int], planted: int) -> None:
    """Each is an even mix of the 16 small left directions of W, so its cosine with any is 1/4, and larger than W."""
    U, V = torch.linalg.qr(normal(shape[0], 28, seed=1)).Q, torch.linalg.qr(normal(shape[1], 28, seed=2)).Q
    s = torch.cat([torch.linspace(20, 10, 12), torch.linspace(0.2, 0.1, 16)]).double()
    mix = torch.tensor(hadamard(16)[:, :planted] / 4, dtype=torch.float64)
    left, right = U[:, 12:] @ mix * torch.tensor([40.0, 60.0, 90.0]).double()[:planted], (V[:, 12:] @ mix).T
    if not planted:  # what is there already made larger
        left, right = 5 * U[:, :1], V[:, :1].T
    found = compare(U * s @ V.T, left, right)
    assert found.intruders == planted
    assert found.intruder_similarity == pytest.approx(0.25 if planted else 1.0, abs=0.01)


def test_an_update_along_the_base_overlaps_wholly_and_is_no_intruder() -> None:
    U, s, Vt = torch.linalg.svd(normal(30, 12, seed=5), full_matrices=False)
    found = compare(U * s @ Vt, U[:, :2] * s[:2], Vt[:2])
    assert found.overlap_output == pytest.approx(1.0)
    assert found.overlap_input == pytest.approx(1.0)
    assert found.amplification == pytest.approx(1.0)
    assert found.intruders == 0


def test_an_update_of_zeros_or_a_base_of_zeros() -> None:
    base, zeros = normal(8, 5, seed=1), torch.zeros(8, 5, dtype=torch.float64)
    none = compare(base, torch.zeros(8, 1, dtype=torch.float64), torch.zeros(1, 5, dtype=torch.float64))
    assert (none.relative_norm, none.leading, none.intruders, none.amplification) == (0.0, 0, 0, None)
    empty = compare(zeros, normal(8, 1, seed=2), normal(1, 5, seed=3))
    assert (empty.relative_norm, empty.amplification, empty.intruders) == (None, None, None)
