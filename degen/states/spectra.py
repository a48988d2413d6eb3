"""Figures of a spectrum of states, each from eigenvalues or singular values alone."""

from __future__ import annotations

import math

import numpy as np

from degen.arrays import Floats

ADDED = 1e-7  # ε of RankMe
FIT_FIRST, FIT_LAST = (
    10,
    100,
)  # of the eigenvalues that α-ReQ is fitted to: indices from 0, the last one left out
FEWEST_FITTED = 10


def rankme(weights: Floats) -> float:
    """Return exp(−Σ p ln p) with p = w/Σw + ε, ε = 10⁻⁷; NaN where all weights are zero.

    Args:
        weights: singular values of uncentred states, min(n, d) of them (Garrido et al.), or eigenvalues of their
            covariance (Li et al.).

    Source: Garrido et al. 2023, RankMe (arXiv 2210.02885), equation 1; Li et al. 2025 (arXiv 2509.23024) take
    eigenvalues.
    """
    total = float(weights.sum())
    if not total > 0:
        return math.nan
    p = weights / total + ADDED
    return math.exp(-float(p @ np.log(p)))


def alpha_req(eigenvalues: Floats) -> float | None:
    """Return the exponent α of the power law λ_i ∝ i^(−α) fitted to the eigenvalues 11 to 100 of a covariance.

    The fit is of ln λ_i against ln i by least squares with weights 1/i, as Stringer et al. 2019 do. Where fewer
    eigenvalues are above zero it takes those; None for fewer than ten of them.

    Args:
        eigenvalues: of the covariance, descending.

    Source: Agrawal et al. 2022, α-ReQ; the range is that of their library reptrix, which Li et al. 2025 (arXiv
    2509.23024) use.
    """
    fitted = eigenvalues[FIT_FIRST:FIT_LAST]
    fitted = fitted[fitted > 0]
    if len(fitted) < FEWEST_FITTED:
        return None
    index = np.arange(FIT_FIRST + 1, FIT_FIRST + 1 + len(fitted), dtype=np.float64)
    x, y, w = np.log(index), np.log(fitted), 1 / index
    x_centred = x - (w @ x) / w.sum()
    return -float((w * x_centred) @ y / ((w * x_centred) @ x_centred))
