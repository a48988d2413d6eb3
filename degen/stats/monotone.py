"""Isotonic regression: the nearest curve that never rises."""

from __future__ import annotations

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
