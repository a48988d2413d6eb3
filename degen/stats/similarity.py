"""How alike two sets of vectors of the same inputs are: debiased linear CKA, and the overlap of their subspaces."""

from __future__ import annotations

import math

import numpy as np

from degen.arrays import Floats

MIN_VECTORS = 4  # of which the unbiased estimate of HSIC is made
MIN_SINGULAR = 1e-7  # of σ₁: smaller singular values from a Gram matrix are rounding


def unbiased_hsic(K: Floats, L: Floats) -> float:
    """Return the unbiased estimate of the Hilbert–Schmidt independence criterion of two Gram matrices.

    Formula, with K̃ and L̃ the matrices with zeros on the diagonal: HSIC₁ = 1/(n(n − 3)) · (tr(K̃L̃) +
    1ᵀK̃1·1ᵀL̃1/((n − 1)(n − 2)) − 2/(n − 2)·1ᵀK̃L̃1).

    Args:
        K: n × n, symmetric, n ≥ 4; its diagonal does not matter.
        L: of the same n inputs.

    Source: Song et al. 2012, Feature selection via dependence maximization, JMLR 13, equation 5.
    """
    n = len(K)
    K, L = (A - np.diag(np.diag(A)) for A in (K, L))
    k, m = K.sum(axis=0), L.sum(axis=0)
    paired = float(np.sum(K * L)) + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * float(k @ m)
    return float(paired / (n * (n - 3)))


def debiased_cka(X: Floats, Y: Floats) -> float | None:
    """Return linear CKA with HSIC estimated without bias: HSIC₁(X, Y)/sqrt(HSIC₁(X, X)·HSIC₁(Y, Y)).

    Rotating, shifting or scaling the vectors of a set changes nothing. Two sets that have nothing in common give 0 on
    average; without the correction they would give much more where there are fewer vectors than dimensions.

    Args:
        X: n × p, a vector for each input.
        Y: n × q, of the same inputs in the same order.

    Returns:
        1 at most; below 0 by chance. None for fewer than four vectors, or where those of a set are all alike.

    Source: Nguyen, Raghu and Kornblith 2021 (arXiv 2010.15327), equation 3, without minibatches; Kornblith et al. 2019
        (arXiv 1905.00414) for CKA.
    """
    if len(X) < MIN_VECTORS:
        return None
    K, L = (_gram(A - A.mean(axis=0)) for A in (X, Y))
    if K is None or L is None:
        return None
    own = unbiased_hsic(K, K) * unbiased_hsic(L, L)
    return unbiased_hsic(K, L) / math.sqrt(own) if own > 0 else None


def _gram(X: Floats) -> Floats | None:
    """Return XXᵀ of vectors divided by their largest entry; None where they are zero up to rounding."""
    scale = float(np.abs(X).max(initial=0.0))
    if not scale > 0:
        return None
    scaled: Floats = X / scale
    return scaled @ scaled.T


def leading_directions(X: Floats, most: int) -> Floats:
    """Return the leading principal directions of vectors, as columns.

    Args:
        X: n × d.
        most: how many at most.

    Returns:
        d × k, orthonormal, k ≤ `most`: fewer where the centred vectors span no more.
    """
    centred = X - X.mean(axis=0)
    wide = len(centred) < centred.shape[1]
    energies, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    values, vectors = np.sqrt(np.maximum(energies[::-1], 0)), vectors[:, ::-1]
    k = min(most, int((values > MIN_SINGULAR * values[:1]).sum())) if len(values) else 0
    directions: Floats = centred.T @ vectors[:, :k] / values[:k] if wide else vectors[:, :k]
    return directions


def subspace_overlap(one: Floats, other: Floats) -> float | None:
    """Return ‖UᵀV‖²_F/k for the first k directions of two orthonormal sets, k the size of the smaller.

    Args:
        one: U, d × k₁.
        other: V, d × k₂, in the same coordinates.

    Returns:
        From 0 (apart) to 1 (the same subspace); k/d on average for two random subspaces. None where k is 0.

    Source: Hu et al. 2021 (arXiv 2106.09685), section 7.2, its φ with i = j.
    """
    k = min(one.shape[1], other.shape[1])
    return float(np.sum((one[:, :k].T @ other[:, :k]) ** 2)) / k if k else None
