"""How far a value may lie from its curve by chance: the standard errors, and what the neighbours show beyond them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats, Ints

NEIGHBOURS = 2  # on each side
KEPT = 0.8  # of the residuals, the smallest: a jump of the curve is no noise
LEAST_CHECKPOINTS = 5  # below, neighbours say nothing of noise
LATE_CHECKPOINTS = 8  # of the late part of training, for it to speak alone
NEAR = 4.0  # standard deviations: that near its best a metric has finished falling
ROUNDS = 2  # of noise and late part, each from the other


@dataclass(frozen=True)
class Noise:
    """The noise of a curve.

    Attributes:
        covariance: n × n, of the values, in the metric's unit squared; what all checkpoints share is taken out.
        freedom: degrees of freedom of its scale; infinite where the standard errors explain the scatter.
    """

    covariance: Floats
    freedom: float

    @property
    def variances(self) -> Floats:
        """The diagonal."""
        diagonal: Floats = np.diag(self.covariance)
        return diagonal


def find_noise(
    steps: Ints, values: Floats, errors: Floats | None, covariance: Floats | None, floor: float = 0.0
) -> Noise | None:
    """Return the noise of a curve: its standard errors, and what the scatter between neighbours exceeds them by.

    Formula: with s² the scatter squared and ē² the mean of the squared standard errors, both weighted by the training
    each checkpoint stands for, every variance is eᵢ² + s² − ē² where s² exceeds ē² by more than chance, that is by more
    than in one of twenty draws, whether one neighbour on either side is looked at or two (a leap of the curve is in
    two residuals of the former and in four of the latter); else it is eᵢ². Errors that checkpoints share, since they
    scored the same windows, drop out of every comparison: with P = I − 11ᵀ/n, P C Pᵀ replaces C. The scatter is that
    of the late part of training, where the metric is near its best (`late_start`) and its curve bends least. Where
    that part has fewer than 8 checkpoints it is that of all of it; with fewer than 8 in all, errors stand alone.

    Args:
        steps: ascending, n of them.
        values: the metric at each, all finite, the larger the worse.
        errors: standard errors; None where none is known.
        covariance: n × n, instead of `errors`, where the values were measured on the same windows.
        floor: the rise that matters, in the metric's unit.

    Returns:
        The noise; None where there is neither an error nor enough checkpoints.
    """
    n = len(values)
    own: Floats | None = None
    if covariance is not None:
        centre = np.eye(n) - 1 / n
        own = centre @ covariance @ centre
    elif errors is not None and np.isfinite(errors).all():
        own = np.diag(errors**2)
    noise = _with_scatter(steps, values, own, 0)
    if noise is None:
        return None
    for _ in range(ROUNDS):
        start = late_start(values, noise.variances, floor)
        if n - start < LATE_CHECKPOINTS:
            break
        again = _with_scatter(steps, values, own, start)
        assert again is not None
        noise = again
    return noise


def late_start(values: Floats, variances: Floats, floor: float) -> int:
    """Return where a metric first came near its best: within the floor, or 4 standard deviations. As an index.

    Args:
        values: the larger the worse.
        variances: of each.
        floor: the rise that matters, in the metric's unit.
    """
    near = max(floor, NEAR * float(np.sqrt(np.median(variances))))
    return int(np.argmax(values <= values.min() + near))


def _with_scatter(steps: Ints, values: Floats, own: Floats | None, start: int) -> Noise | None:
    """Return the noise with the scatter from one checkpoint on."""
    n = len(values)
    tiny = (1e-9 * float(np.max(np.abs(values))) + 1e-300) ** 2 * np.eye(n)  # no value is more exact than that
    if own is not None and n - start < LATE_CHECKPOINTS:
        return Noise(own + tiny, math.inf)
    found = find_scatter(steps[start:], values[start:])
    if found is None:
        return None
    scatter, freedom = found
    if own is None:
        return Noise(scatter**2 * np.eye(n) + tiny, freedom)
    mean = float(training_shares(steps[start:]) @ np.diag(own)[start:])
    if not _exceeds(found, mean) or not _exceeds(find_scatter(steps[start:], values[start:], 1), mean):
        return Noise(own + tiny, math.inf)
    return Noise(own + (scatter**2 - mean) * np.eye(n) + tiny, freedom)


def _exceeds(found: tuple[float, float] | None, mean: float) -> bool:
    """Return whether a scatter exceeds the mean squared error by more than chance."""
    from scipy.stats import chi2

    assert found is not None
    scatter, freedom = found
    return scatter**2 > mean * float(chi2.ppf(0.95, freedom)) / freedom


def find_scatter(steps: Ints, values: Floats, neighbours: int = NEIGHBOURS) -> tuple[float, float] | None:
    """Return standard deviation of the values about a smooth curve, and its degrees of freedom.

    Formula: the residual of each value from the straight line in log step through its neighbours, two on either side,
    divided by √(1 + ‖h‖²), h the weights of the line; s² is the mean square of the smallest four fifths, each weighted
    by the training it stands for (a few hundred early steps, saved in dense order, say nothing of the end), divided by
    what that mean is for normal noise. For normal noise of 25 checkpoints s² varies as that of 13 draws does.

    Args:
        steps: ascending.
        values: all finite.
        neighbours: on each side.

    Returns:
        s in the metric's unit, and its degrees of freedom; None with fewer than 5 checkpoints.

    Source: Gasser, Sroka and Jennen-Steinmetz 1986, for residuals from neighbours at uneven places.
    """
    from scipy.stats import norm

    n = len(values)
    if n < LEAST_CHECKPOINTS:
        return None
    places = np.log(steps - steps[0] + float(np.median(np.diff(steps))))
    residuals = np.array([_residual(places, values, i, neighbours) for i in range(1, n - 1)])
    shares = training_shares(steps)[1:-1]
    order = np.argsort(np.abs(residuals))
    residuals, shares = residuals[order], shares[order] / shares.sum()
    kept = np.cumsum(shares) <= KEPT + 1e-9
    kept[0] = True
    cut = float(norm.ppf((1 + KEPT) / 2))
    expected = (KEPT - 2 * cut * float(norm.pdf(cut))) / KEPT
    square = float(np.average(residuals[kept] ** 2, weights=shares[kept])) / expected
    effective = 2 + 1 / float(np.sum(shares**2))
    return math.sqrt(square), 0.5 * effective


def _residual(places: Floats, values: Floats, i: int, neighbours: int) -> float:
    """Return the residual of one value from the line through its neighbours, in units of the noise."""
    near = [j for j in range(max(0, i - neighbours), min(len(values), i + neighbours + 1)) if j != i]
    design = np.stack([np.ones(len(near)), places[near] - places[i]], axis=1)
    line = np.linalg.pinv(design)[0]
    return float((values[i] - line @ values[near]) / np.sqrt(1 + line @ line))


def training_shares(steps: Ints) -> Floats:
    """Return the share of training each checkpoint stands for: half the way to its neighbours. Sums to 1."""
    gaps = np.diff(steps).astype(np.float64)
    shares = (np.append(gaps, 0) + np.insert(gaps, 0, 0)) / 2
    total = float(shares.sum())
    return shares / total if total > 0 else np.full(len(steps), 1 / len(steps))
