"""The tail of a distribution as a power law: its exponent by maximum likelihood, start by Kolmogorov–Smirnov."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats

MIN_TAIL = (
    50  # values in the tail; with fewer, the estimate of the exponent is biased (Clauset et al. 2009, section 3.1)
)


@dataclass(frozen=True)
class PowerLawTail:
    """The density x^(−α) for x ≥ x_min, fitted to the largest of some values.

    Attributes:
        exponent: α, above 1.
        standard_error: (α − 1)/√n, for large n.
        start: x_min, the smallest value of the tail.
        count: n, values in the tail.
        distance: between the tail and the law, from 0 to 1; Kolmogorov and Smirnov's of one side, see `power_law_tail`.
    """

    exponent: float
    standard_error: float
    start: float
    count: int
    distance: float

    @property
    def reason(self) -> str | None:
        """Why the exponent is not to be trusted; None where nothing speaks against it."""
        if self.count >= MIN_TAIL:
            return None
        return f"the power law is fitted to a tail of {self.count} values, and needs {MIN_TAIL}"


def power_law_tail(values: Floats) -> PowerLawTail | None:
    """Fit a power law to the tail of some values.

    Formulas: α = 1 + n/Σ ln(xᵢ/x_min) over the n values xᵢ ≥ x_min, Hill's estimator of the exponent plus one. Of all
    values but the largest, x_min is the one with the least distance max |F(xᵢ) − i/n|, i = 0…n−1, where
    F(x) = 1 − (x/x_min)^(1−α). That is what `plfit` of the authors does, and the package `powerlaw` where its bound
    α ≤ 3 is lifted. It looks at the lower end i/n of each step of the empirical distribution alone: the distance that
    also looks at the upper end (i + 1)/n, as `scipy.stats.kstest` does, is larger by 1/n at most.

    Args:
        values: in any order; those not above zero are left out. In a spectrum eigenvalues λ = σ²: of σ itself the
            exponent is 2α − 1.

    Returns:
        None for fewer than two different values above zero. Multiplying all values by one number changes `start` alone.

    Source: Clauset, Shalizi and Newman 2009, Power-law distributions in empirical data, SIAM Review 51, sections 3.1
        and 3.3; Hill 1975. For spectra of weights: Martin and Mahoney 2021, Implicit self-regularization in deep neural
        networks, JMLR 22.
    """
    ascending = np.sort(values[values > 0])
    starts = np.flatnonzero(np.diff(ascending, prepend=0) > 0)[:-1]  # the first of every value but the largest
    fits = [_fit(np.log(ascending[start:] / ascending[start])) for start in starts]
    if not fits:
        return None
    best = int(np.argmin([distance for _, distance in fits]))
    (slope, distance), start = fits[best], starts[best]
    count = len(ascending) - int(start)
    return PowerLawTail(1 + slope, slope / math.sqrt(count), float(ascending[start]), count, distance)


def _fit(logs: Floats) -> tuple[float, float]:
    """Return α − 1 of a tail, and its distance from the law, given ln(xᵢ/x_min) in ascending order."""
    count = len(logs)
    slope = count / float(logs.sum())
    law = -np.expm1(-slope * logs)
    return slope, float(np.abs(law - np.arange(count) / count).max())
