from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degen.stats.similarity import debiased_cka, leading_directions, subspace_overlap, unbiased_hsic

seeds = st.integers(0, 2**32 - 1)


def vectors(seed: int, n: int = 9, p: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, p))


def by_quadruples(K: np.ndarray, L: np.ndarray) -> float:
    """Return HSIC as the mean over all ordered quadruples of different inputs (Song et al. 2012, equation 4)."""
    values = [
        K[i, j] * L[i, j] + K[i, j] * L[q, r] - 2 * K[i, j] * L[i, q] for i, j, q, r in permutations(range(len(K)), 4)
    ]
    return float(np.mean(values))


def kornblith(X: np.ndarray, Y: np.ndarray) -> float:
    """Return debiased CKA as Kornblith et al. compute it from features (feature_space_linear_cka, debiased=True)."""
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    n = len(X)

    def debiased(raw: float, rows_x: np.ndarray, rows_y: np.ndarray) -> float:
        squares_x, squares_y = rows_x.sum(), rows_y.sum()
        return float(raw - n / (n - 2) * (rows_x @ rows_y) + squares_x * squares_y / ((n - 1) * (n - 2)))

    x, y = (X**2).sum(axis=1), (Y**2).sum(axis=1)
    cross = debiased(np.linalg.norm(X.T @ Y) ** 2, x, y)
    own = [debiased(np.linalg.norm(A.T @ A) ** 2, a, a) for A, a in ((X, x), (Y, y))]
    return cross / np.sqrt(own[0] * own[1])


@given(seeds, seeds, st.integers(4, 7))
def test_hsic_is_the_mean_over_quadruples(one: int, other: int, n: int) -> None:
    X, Y = vectors(one, n), vectors(other, n, 3)
    K, L = X @ X.T, Y @ Y.T
    assert unbiased_hsic(K, L) == pytest.approx(by_quadruples(K, L), abs=1e-8)
    assert unbiased_hsic(K + np.eye(n) * 7, L) == pytest.approx(unbiased_hsic(K, L), abs=1e-8)  # no diagonal


@given(seeds, seeds, st.integers(5, 30), st.integers(1, 40))
def test_cka_is_that_of_the_published_implementation(one: int, other: int, n: int, p: int) -> None:
    X = vectors(one, n, p)
    Y = X @ vectors(other, p, 5) + vectors(other, n, 5)
    cka, expected = debiased_cka(X, Y), kornblith(X, Y)
    assert cka is None or cka == pytest.approx(expected, abs=1e-8)


@given(seeds, st.floats(-8, 8), st.integers(5, 20))
def test_rotation_shift_and_scale_change_no_cka_and_the_same_is_one(seed: int, exponent: float, n: int) -> None:
    X, Y = vectors(seed, n, 6), vectors(seed + 1, n, 3)
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    plain = debiased_cka(X, Y)
    moved = debiased_cka(10.0**exponent * (X @ Q + rng.normal(size=6)), Y)
    assert plain == debiased_cka(Y, X) or plain == pytest.approx(debiased_cka(Y, X), abs=1e-9)
    assert (plain is None and moved is None) or moved == pytest.approx(plain, abs=1e-6)
    order = rng.permutation(n)
    shuffled = debiased_cka(X[order], Y[order])
    assert shuffled == pytest.approx(plain, abs=1e-9) if plain is not None else shuffled is None
    same = debiased_cka(X, X @ Q * 3)
    assert same is None or same == pytest.approx(1, abs=1e-9)


def test_vectors_that_have_nothing_in_common_give_nothing_on_average() -> None:
    """Of 20 vectors in 60 dimensions, where CKA without the correction is far from 0."""
    values = [debiased_cka(vectors(2 * i, 20, 60), vectors(2 * i + 1, 20, 60)) for i in range(200)]
    known = [value for value in values if value is not None]
    assert len(known) == 200
    assert abs(np.mean(known)) < 3 * np.std(known) / np.sqrt(200)


def test_cka_has_no_value_for_few_vectors_or_vectors_that_are_alike() -> None:
    assert debiased_cka(vectors(0, 3), vectors(1, 3)) is None
    assert debiased_cka(np.ones((9, 4)), vectors(1)) is None


@given(seeds, st.integers(1, 4), st.integers(2, 30))
def test_overlap_is_that_of_numpys_principal_directions(seed: int, most: int, n: int) -> None:
    X, Y = vectors(seed, n, 8), vectors(seed + 1, n, 8)
    k = min(most, n - 1)
    directions = []
    for A in (X, Y):
        own = leading_directions(A, most)
        assert own.shape == (8, k)
        assert np.allclose(own.T @ own, np.eye(k), atol=1e-8)
        _, _, Vt = np.linalg.svd(A - A.mean(axis=0), full_matrices=False)
        directions.append(Vt[:k].T)
    expected = np.linalg.norm(directions[0].T @ directions[1]) ** 2 / k
    overlap = subspace_overlap(leading_directions(X, most), leading_directions(Y, most))
    assert overlap == pytest.approx(expected, abs=1e-6)
    assert subspace_overlap(directions[0], directions[0]) == pytest.approx(1, abs=1e-12)
    assert subspace_overlap(directions[0], np.zeros((8, 0))) is None


def test_random_subspaces_overlap_by_k_over_d() -> None:
    values = [
        subspace_overlap(leading_directions(vectors(i, 40, 50), 10), leading_directions(vectors(999 + i, 40, 50), 10))
        for i in range(60)
    ]
    assert np.mean([v for v in values if v is not None]) == pytest.approx(10 / 50, abs=0.01)


def test_the_rank_bounds_the_directions() -> None:
    X = np.outer(np.arange(9.0), np.ones(4))
    assert leading_directions(X, 3).shape == (4, 1)
    assert leading_directions(np.ones((9, 4)), 3).shape == (4, 0)
