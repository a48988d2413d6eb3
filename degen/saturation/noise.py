"""The noise of a curve: its standard errors, and the scatter between neighbouring checkpoints beyond them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from degen.arrays import Floats, Ints
from degen.stats.quantiles import two_sided

NEIGHBOURS = 2  # on each side
KEPT = 0.8  # share of the residuals, the smallest, that count: a jump of the curve is no noise
LEAST_CHECKPOINTS = 5  # for an estimate of the noise from neighbours
LATE_CHECKPOINTS = 8  # in the late part of training, for an estimate from that part alone
NEAR = 4.0  # standard deviations from its best, within which a metric has finished falling
ROUNDS = 2  # of estimating noise and late part, each from the other


@dataclass(frozen=True)
class Noise:
    """The noise of a curve.

    Attributes:
        covariance: n × n, of the values, in the metric's unit squared, without the noise that all checkpoints share.
        freedom: degrees of freedom of its scale; infinite where the standard errors explain the scatter.
    """

    covariance: Floats
    freedom: float

    @property
    def variances(self) -> Floats:
        """The variance of each value, the diagonal of the covariance."""
        diagonal: Floats = np.diag(self.covariance)
        return diagonal


class Scatter(NamedTuple):
    """The scatter of values about a smooth curve.

    Attributes:
        deviation: standard deviation, in the metric's unit.
        freedom: its degrees of freedom.
    """

    deviation: float
    freedom: float

    def exceeds(self, variance: float) -> bool:
        """Return whether the scatter is larger than a variance by more than chance, at 95 %."""
        from scipy.special import chdtri

        return self.deviation**2 > variance * float(chdtri(self.freedom, 0.05)) / self.freedom


def find_noise(
    steps: Ints, values: Floats, errors: Floats | None, covariance: Floats | None, floor: float = 0.0
) -> Noise | None:
    """Return the noise of a curve: its standard errors, increased where neighbouring checkpoints scatter by more.

    Formula: s² is the square of the scatter and ē² the mean of the squared standard errors, both weighted by the share
    of training of each checkpoint. Every variance is eᵢ² + s² − ē² where s² exceeds ē² by more than in one of twenty
    draws, with one neighbour on either side as well as with two (a leap of the curve is in two residuals of the former
    and in four of the latter); else it is eᵢ². The noise that all checkpoints share, since they scored the same
    windows, does not matter when they are compared: with P = I − 11ᵀ/n, P C Pᵀ replaces C. The scatter is that of the
    late part of training, where the metric is near its best (`late_start`) and its curve bends least; of the whole
    training where that part has fewer than 8 checkpoints. With fewer than 8 in all, the standard errors count alone.

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
        noise = _with_scatter(steps, values, own, start) or noise
    return noise


def late_start(values: Floats, variances: Floats, floor: float) -> int:
    """Return the index at which a metric first came near its best: within the floor, or 4 standard deviations.

    Args:
        values: the larger the worse.
        variances: of each.
        floor: the rise that matters, in the metric's unit.
    """
    near = max(floor, NEAR * float(np.sqrt(np.median(variances))))
    return int(np.argmax(values <= values.min() + near))


def _with_scatter(steps: Ints, values: Floats, own: Floats | None, start: int) -> Noise | None:
    """Return the noise by the scatter from one checkpoint on; None where nothing shows it.

    Args:
        steps: of all n checkpoints.
        values: at each.
        own: n × n covariance of the standard errors; None where they are unknown.
        start: index of the first checkpoint whose scatter counts.
    """
    n = len(values)
    tiny = (1e-9 * float(np.max(np.abs(values))) + 1e-300) ** 2 * np.eye(n)  # rounding
    if own is not None and n - start < LATE_CHECKPOINTS:
        return Noise(own + tiny, math.inf)
    scatter = find_scatter(steps[start:], values[start:])
    if scatter is None:
        return None
    square, freedom = scatter.deviation**2, scatter.freedom
    if own is None:
        return Noise(square * np.eye(n) + tiny, freedom)
    mean = float(training_shares(steps[start:]) @ np.diag(own)[start:])
    narrow = find_scatter(steps[start:], values[start:], 1)
    if narrow is None or not scatter.exceeds(mean) or not narrow.exceeds(mean):
        return Noise(own + tiny, math.inf)
    return Noise(own + (square - mean) * np.eye(n) + tiny, freedom)


def find_scatter(steps: Ints, values: Floats, neighbours: int = NEIGHBOURS) -> Scatter | None:
    """Return the scatter of values about a smooth curve; None with fewer than 5 checkpoints.

    Formula: the residual of each value from the straight line in log step through its neighbours, two on either side,
    is divided by √(1 + ‖h‖²), h the weights of the line. s² is the mean square of the smallest four fifths of the
    residuals, each weighted by its share of training (many checkpoints of the first steps tell little about the end),
    divided by the same mean for normal noise. Of 25 checkpoints with normal noise, s² varies as that of 13 draws.

    Args:
        steps: ascending.
        values: all finite.
        neighbours: on each side.

    Source: Gasser, Sroka and Jennen-Steinmetz 1986, for residuals from neighbours at uneven distances.
    """
    n = len(values)
    if n < LEAST_CHECKPOINTS:
        return None
    times = np.log(steps - steps[0] + float(np.median(np.diff(steps))))
    residuals = np.array([_residual(times, values, i, neighbours) for i in range(1, n - 1)])
    shares = training_shares(steps)[1:-1]
    order = np.argsort(np.abs(residuals))
    residuals, shares = residuals[order], shares[order] / shares.sum()
    kept = np.cumsum(shares) <= KEPT + 1e-9
    kept[0] = True
    cut = two_sided(KEPT)
    density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
    expected = (KEPT - 2 * cut * density) / KEPT  # mean square of normal draws below the cut
    square = float(np.average(residuals[kept] ** 2, weights=shares[kept])) / expected
    effective = 2 + 1 / float(np.sum(shares**2))
    return Scatter(math.sqrt(square), 0.5 * effective)


def _residual(times: Floats, values: Floats, i: int, neighbours: int) -> float:
    """Return the residual of the i-th value from the line through its neighbours, scaled to the variance of a value."""
    near = [j for j in range(max(0, i - neighbours), min(len(values), i + neighbours + 1)) if j != i]
    design = np.stack([np.ones(len(near)), times[near] - times[i]], axis=1)
    line = np.linalg.pinv(design)[0]
    return float((values[i] - line @ values[near]) / np.sqrt(1 + line @ line))


def training_shares(steps: Ints) -> Floats:
    """Return the share of training that belongs to each checkpoint, half the way to its neighbours; the sum is 1."""
    gaps = np.diff(steps).astype(np.float64)
    shares = (np.append(gaps, 0) + np.insert(gaps, 0, 0)) / 2
    total = float(shares.sum())
    return shares / total if total > 0 else np.full(len(steps), 1 / len(steps))
