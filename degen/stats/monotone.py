"""Isotonic regression: the nearest curve that never rises, and the nearest that falls and then rises."""

from __future__ import annotations

import numpy as np

from degen.arrays import Floats


def falling_fit(values: Floats, weights: Floats) -> Floats:
    """Return the curve that never rises and is nearest to the values: argmin Σ wᵢ(xᵢ − mᵢ)², m₁ ≥ m₂ ≥ … ≥ mₙ.

    Args:
        values: x, in the order of training.
        weights: w, one over the variance of each.

    Source: Barlow, Bartholomew, Bremner and Brunk 1972, Statistical Inference under Order Restrictions.
    """
    from scipy.optimize import isotonic_regression

    fitted: Floats = isotonic_regression(values, weights=weights, increasing=False).x
    return fitted


def falling_misfits(values: Floats, weights: Floats) -> Floats:
    """Return for every row and k the distance of its first k values from the nearest curve that never rises.

    Formula: R_k = min Σ_{i≤k} wᵢ(xᵢ − mᵢ)² over m₁ ≥ … ≥ m_k, by pooling adjacent violators: two pooled blocks of
    weights u, v and means a, b add uv/(u + v)·(a − b)².

    Args:
        values: x, draws × n.
        weights: w, shape (n,).

    Returns:
        R, draws × (n + 1), in the unit of w·x²; column k is R_k, and R₀ = 0.

    Source: as for `falling_fit`, for many rows at once.
    """
    draws, n = values.shape
    means, masses = np.empty((draws, n)), np.empty((draws, n))
    top = np.full(draws, -1)  # the last block of each row
    misfits = np.zeros((draws, n + 1))
    all_rows = np.arange(draws)
    for k in range(n):
        top += 1
        means[all_rows, top], masses[all_rows, top] = values[:, k], weights[k]
        misfits[:, k + 1] = misfits[:, k]
        rows = all_rows[top > 0]
        while len(rows):
            rows = rows[means[rows, top[rows]] > means[rows, top[rows] - 1]]
            last = top[rows]
            u, v = masses[rows, last - 1], masses[rows, last]
            a, b = means[rows, last - 1], means[rows, last]
            misfits[rows, k + 1] += u * v / (u + v) * (a - b) ** 2
            means[rows, last - 1], masses[rows, last - 1] = (u * a + v * b) / (u + v), u + v
            top[rows] -= 1
            rows = rows[top[rows] > 0]
    return misfits


def valley_misfits(values: Floats, weights: Floats) -> Floats:
    """Return for every row and k its distance from the nearest curve that falls over the first k values, then rises.

    Formula: R_k of the first k values, as `falling_misfits` has it, plus the like of the others for a rising curve.

    Args:
        values: x, draws × n.
        weights: w, shape (n,).

    Returns:
        Draws × (n + 1), in the unit of w·x²; column n is the distance from the curve that never rises.
    """
    rising = falling_misfits(values[:, ::-1], weights[::-1])[:, ::-1]  # a curve that rises falls backwards in time
    misfits: Floats = falling_misfits(values, weights) + rising
    return misfits
