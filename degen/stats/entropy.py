"""Entropy of a spectrum, and the rank that it stands for."""

from __future__ import annotations

import math

import numpy as np

from degen.arrays import Floats


def shannon_entropy(weights: Floats) -> float:
    """Return H(p) = −Σ p ln p in nats, with p = w/Σw, w the `weights` and 0·ln 0 = 0; NaN where all are zero."""
    total = float(weights.sum())
    if not total > 0:
        return math.nan
    p = weights[weights > 0] / total
    return float(-(p * np.log(p)).sum())


def effective_rank(values: Floats) -> float:
    """Return exp(H(σ/Σσ)) of singular values; NaN where all are zero.

    Source: Roy and Vetterli 2007, The effective rank: a measure of effective dimensionality.
    """
    return math.exp(shannon_entropy(values))
