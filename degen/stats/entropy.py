"""Entropy of a spectrum."""

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
    return float(-(p * np.log(p)).sum()) + 0.0  # which makes 0 of −0
