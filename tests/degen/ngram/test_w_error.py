from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ngram_texts import Texts, brute_force, random_texts, written

from degen.arrays import Floats
from degen.ngram import w_error
from degen.ngram.counting import NextTokens, NgramKeys, count_next_tokens, sample_contexts
from degen.ngram.matrix import next_token_matrix, split
from degen.ngram.w_error import WErrorCurve, curve_of_singular_values, exact_curve

VOCABULARY = 60


def counted(texts: Texts, order: int) -> NextTokens:
    with written(texts) as file:
        ngrams = NgramKeys(order, VOCABULARY, 0)
        return count_next_tokens(file, ngrams, sample_contexts(file, ngrams, 10**6, 1))


def dense(texts: Texts, order: int, weighted: bool) -> Floats:
    counts = list(brute_force(texts, order).values())
    matrix = np.zeros((len(counts), VOCABULARY))
    for row, of_context in enumerate(counts):
        for token, count in of_context.items():
            matrix[row, token] = count / of_context.total()
        matrix[row] *= np.sqrt(of_context.total()) if weighted else 1.0
    return matrix


def w_error_by_svd(matrix: Floats) -> Floats:
    """Return the W-error of each dimension by the definition: the norm of what the truncated SVD leaves."""
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    norms = [float(np.linalg.norm(matrix - (u[:, :d] * s[:d]) @ vt[:d])) for d in range(len(s) + 1)]
    return np.asarray(norms) / np.linalg.norm(matrix)


def padded(curve: Floats, length: int) -> Floats:
    assert np.all(curve[length:] < 1e-10)
    return np.append(curve, np.zeros(max(length - len(curve), 0)))[:length]


@pytest.mark.parametrize("order", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_equals_dense_svd(order: int, weighted: bool, seed: int) -> None:
    texts = random_texts(seed, VOCABULARY, documents=15)
    expected = w_error_by_svd(dense(texts, order, weighted))
    curve = exact_curve(split(counted(texts, order), weighted))
    assert curve.low is None
    np.testing.assert_allclose(padded(curve.w_error, len(expected)), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_sparse_matrix_is_the_dense_one(weighted: bool) -> None:
    texts = random_texts(5, VOCABULARY)
    ours, theirs = next_token_matrix(counted(texts, 3), weighted).toarray(), dense(texts, 3, weighted)
    assert sorted(map(tuple, ours)) == sorted(map(tuple, theirs))


@pytest.mark.parametrize("rank", [12, 7])
def test_a_large_block_by_its_eigenvalues(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block longer than wide, its transpose, and one whose rows span fewer dimensions, so that W-error is 0 there."""
    monkeypatch.setattr(w_error, "DENSE_ENTRIES", 0)
    rng = np.random.default_rng(0)
    few = rng.integers(1, 50, (400, rank)) * 10 ** rng.integers(0, 4, rank)
    counts = few @ np.concatenate([np.eye(rank, dtype=np.int64), rng.integers(0, 5, (rank, 12 - rank))], axis=1)
    for table in (counts, counts.T):
        row, token = np.nonzero(table)
        every = NextTokens(row, token, table[row, token], table.shape[0], table.shape[1])
        expected = w_error_by_svd(next_token_matrix(every, weighted=True).toarray())
        got = exact_curve(split(every, weighted=True)).w_error
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)


def test_small_singular_values_of_a_large_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Singular values from 1 to 1e-9, of which the roots of eigenvalues alone would lose the last."""
    from scipy.sparse import csr_array

    monkeypatch.setattr(w_error, "DENSE_ENTRIES", 0)
    rng = np.random.default_rng(3)
    u, v = (np.linalg.qr(rng.standard_normal((n, 40)))[0] for n in (90, 60))
    values = np.geomspace(1, 1e-9, 40)
    got = np.sort(w_error.singular_values(csr_array((u * values) @ v.T)))[::-1]
    np.testing.assert_allclose(got[:40], values, rtol=0, atol=1e-12)
    assert np.all(got[40:] < 1e-12)


def test_parts_are_smaller_than_the_matrix() -> None:
    """Contexts seen once are rows of a single 1: each token that follows some of them is a singular value."""
    once = NextTokens(np.arange(6), np.asarray([3, 3, 3, 5, 5, 9]), np.ones(6, dtype=np.int64), 6, 10)
    parts = split(once, weighted=False)
    assert sorted(parts.singular_values.tolist()) == pytest.approx(sorted(np.sqrt([3, 2, 1])))
    assert parts.blocks == []
    assert parts.smaller_side == 0


@given(st.integers(0, 10**6), st.sampled_from([2, 3, 5]), st.booleans())
@settings(max_examples=30, deadline=None)
def test_what_changes_nothing_leaves_w_error_alone(seed: int, order: int, weighted: bool) -> None:
    """The order of documents, documents given twice, and other ids for the tokens."""
    texts = random_texts(seed, VOCABULARY, documents=6, longest=50)
    if not brute_force(texts, order):
        return
    rng = np.random.default_rng(seed)
    ids = rng.permutation(VOCABULARY)
    changed = [
        [texts[i] for i in rng.permutation(len(texts))], [*texts, *texts], [ids[t].tolist() for t in texts],
    ]  # fmt: skip
    before = exact_curve(split(counted(texts, order), weighted)).w_error
    for other in changed:
        after = exact_curve(split(counted(other, order), weighted)).w_error
        length = max(len(before), len(after))
        np.testing.assert_allclose(padded(after, length), padded(before, length), rtol=0, atol=1e-10)


def test_dimension_at_a_level() -> None:
    four = curve_of_singular_values(np.ones(4))  # W-error sqrt((4 − d)/4): 1, .866, .707, .5, 0
    assert four.dimension(0.5) == (3, None, None)
    assert four.dimension(0.1) == (4, None, None)
    assert four.dimension(1.0) == (0, None, None)
    assert four.at(2) == (pytest.approx(np.sqrt(0.5)), None, None)
    assert four.at(9) == (0.0, None, None)
    between = WErrorCurve(np.asarray([1, 0.6, 0.4]), np.asarray([1, 0.45, 0.3]), np.asarray([1, 0.7, 0.55]))
    assert between.dimension(0.5) == (2, 1, 3)


def test_small_singular_values_are_not_lost() -> None:
    values = np.geomspace(1, 1e-12, 30)
    expected = [np.sqrt(np.sum(values[d:] ** 2) / np.sum(values**2)) for d in range(31)]
    np.testing.assert_allclose(curve_of_singular_values(values).w_error, expected, rtol=1e-12)
    with pytest.raises(ValueError, match="zeros"):
        curve_of_singular_values(np.zeros(3))
