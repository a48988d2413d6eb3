"""What the spectrum of a matrix says: ranks, shares, gaps. Of singular values σ unless a function says eigenvalues λ.

Every function takes the values in any order, non-negative and finite, and returns None where the figure is not defined:
for no values and for zeros alone. Multiplying all values by one number changes none of them.
"""

from __future__ import annotations

import math

import numpy as np

from degen.arrays import Floats

from .entropy import shannon_entropy


def any_above_zero(values: Floats) -> bool:
    """Return whether a spectrum has a value above zero."""
    return bool(len(values)) and bool(values.max() > 0)


def squares(values: Floats) -> Floats:
    """Return σ² divided by one power of four, so that no square is too large or too small for a float64."""
    if not any_above_zero(values):
        return np.zeros(len(values))
    exponent = math.frexp(float(values.max()))[1]
    scaled: Floats = np.ldexp(values, -exponent) ** 2
    return scaled


def above_rounding(values: Floats) -> Floats:
    """Return the singular values above 16·n·ε·σ₁, n how many there are: rounding makes smaller ones of zeros."""
    floor = 16 * len(values) * np.finfo(np.float64).eps * float(values.max(initial=0.0))
    kept: Floats = values[values > floor]
    return kept


def effective_rank(values: Floats) -> float | None:
    """Return exp(H(p)), p = σ/Σσ: from 1 for one direction to n for a flat spectrum; None for zeros alone.

    Of eigenvalues λ = σ² of a covariance the same formula is another figure, which later papers call by this name.

    Source: Roy and Vetterli 2007, The effective rank: a measure of effective dimensionality.
    """
    return math.exp(shannon_entropy(values)) if any_above_zero(values) else None


def stable_rank(values: Floats) -> float | None:
    """Return Σσ²/σ₁² = ‖W‖²_F/‖W‖²₂: from 1 to the rank; None for zeros alone.

    Source: Rudelson and Vershynin 2007, Sampling from large matrices: an approach through geometric functional
        analysis.
    """
    if not any_above_zero(values):
        return None
    energy = squares(values)
    return float(energy.sum() / energy.max())


def top_share(values: Floats) -> float | None:
    """Return σ₁²/Σσ², the share of the energy in the leading direction: from 1/n to 1; None for zeros alone.

    The inverse of the stable rank; of centred vectors the explained variance of the first principal component.
    """
    if not any_above_zero(values):
        return None
    energy = squares(values)
    return float(energy.max() / energy.sum())


def participation_ratio(eigenvalues: Floats) -> float | None:
    """Return (Σλ)²/Σλ² of eigenvalues λ: from 1 for one direction to n for a flat spectrum; None for zeros alone.

    Of singular values it is that of λ = σ², so `squares(values)` goes in. It is exp of Rényi's entropy of order 2.

    Source: Gao et al. 2017, A theory of multineuronal dimensionality, dynamics and measurement.
    """
    if not any_above_zero(eigenvalues):
        return None
    scaled = eigenvalues / eigenvalues.max()
    return float(scaled.sum() ** 2 / (scaled**2).sum())


def condition_number(values: Floats, rounding: float = 0.0) -> float | None:
    """Return σ₁/σ_n: 1 for a flat spectrum, infinite for a singular matrix; None for zeros alone.

    Args:
        values: all min(n, m) singular values.
        rounding: a smallest value of up to this share of the largest counts as zero.

    Source: Golub and Van Loan, Matrix Computations, 2.6.
    """
    if not any_above_zero(values):
        return None
    largest, least = float(values.max()), float(values.min())
    return largest / least if least > rounding * largest else math.inf


def directions_holding(values: Floats, share: float) -> int | None:
    """Return the least k whose largest σ hold a share of the energy, Σ_{i≤k} σᵢ² ≥ share·Σσ²; None for zeros alone.

    Args:
        values: singular values.
        share: above 0, at most 1; 0.9 for k90.
    """
    if not any_above_zero(values):
        return None
    energy = np.cumsum(np.sort(squares(values))[::-1])
    return int(np.searchsorted(energy, share * energy[-1] * (1 - 1e-12)) + 1)


def spectral_gap(values: Floats) -> float | None:
    """Return 1 − σ₂/σ₁: 0 for two equal leading directions, 1 for a matrix of rank 1.

    None for zeros alone, and for a single value, which has no second. Other papers call σ₁ − σ₂, or λ₁ − λ₂ of a graph
    or a Markov chain, by this name.
    """
    if len(values) < 2 or not any_above_zero(values):
        return None
    second, first = np.partition(values, len(values) - 2)[-2:]
    return float(1 - second / first)


def entropy_from_flat(weights: Floats) -> float:
    """Return the divergence of a spectrum from a flat one: KL(p‖uniform) = ln n − H(p), with p = w/Σw.

    Args:
        weights: non-negative, n of them, which is min(V, d) for a head of V × d: σ² for `singular_entropy`, σ for
            `singular_entropy_sigma`.

    Returns:
        Nats: 0 for a flat spectrum, ln n for one direction; NaN where all weights are zero.

    Source: Godey et al. 2024 (arXiv 2404.07647), figure 5, for p = σ²/Σσ².
    """
    return math.log(len(weights)) - shannon_entropy(weights)
