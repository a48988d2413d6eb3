"""The test for a rise: curves that fall and then rise against curves that never rise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from degen.arrays import Floats
from degen.stats.monotone import falling_fit, valley_misfits

from .noise import Noise, late_start

DRAWS = 4000  # of noise; a p-value is no smaller than 1/4001


@dataclass(frozen=True)
class Rise:
    """The result of the test on a curve whose values are the larger the worse.

    Attributes:
        p_value: probability that noise on a plateau looks as much like a valley, wherever its bottom.
        p_not_monotone: probability that noise on a plateau is as far from every curve that never rises; a rise that is
            followed by a fall counts, too.
        final_excess: the last value minus the level of the valley's bottom, in standard errors of that difference.
        start: index at which the metric first came near its best; earlier values are not tested.
        peak: index at which the evidence for a rise is strongest.
    """

    p_value: float
    p_not_monotone: float
    final_excess: float
    start: int
    peak: int


def find_rise(values: Floats, noise: Noise, floor: float) -> Rise:
    """Test whether a curve rose after its best.

    Formula: F is the misfit of the nearest curve that never rises and V that of the nearest one that falls, then
    rises, both in units of the noise, over the late part of training (`late_start`). Where standard errors explain the
    scatter, T = F − V; where the size of the noise had to be estimated, E² = (F − V)/F, which does not depend on it.
    Among all curves that never rise the plateau gives the largest, so p = P(T₀ ≥ T) with T₀ from draws of the noise
    on a plateau: every draw repeats the search for the bottom, and the draws have the covariance of the noise. Only the
    order of the steps enters, not their distances. F alone, compared with its own draws, gives p_not_monotone; each of
    these is divided by a draw of χ²_ν/ν where the noise was estimated with ν degrees of freedom.

    Args:
        values: the metric in the order of training, the larger the worse; n ≥ 3.
        noise: their noise.
        floor: the rise that matters, in the metric's unit.

    Source: Robertson, Wright and Dykstra 1988, Order Restricted Statistical Inference, chapters 2 and 6 (χ̄² and Ē²);
        Phipson and Smyth 2010 for (1 + hits)/(1 + draws).
    """
    start = late_start(values, noise.variances, floor)
    late, covariance = values[start:], noise.covariance[start:, start:]
    weights = 1 / np.diag(covariance)
    estimated = math.isfinite(noise.freedom)
    valley, curve = _statistics(late[None], weights, estimated)
    valley_null, monotone_null = _null(covariance, noise.freedom)
    return Rise(
        p_value=_p_value(valley_null, float(valley[0])),
        p_not_monotone=_p_value(monotone_null, float(curve[0])),
        final_excess=_final_excess(late, weights, covariance),
        start=start,
        peak=start + _peak(late, weights),
    )


def _statistics(values: Floats, weights: Floats, estimated: bool) -> tuple[Floats, Floats]:
    """Return T, or E² where the noise was estimated, and F for every row of values."""
    misfits = valley_misfits(values, weights)
    never_rises = misfits[:, -1]
    rise = never_rises - misfits.min(axis=1)
    return (rise / np.maximum(never_rises, 1e-300) if estimated else rise), never_rises


def _p_value(null: Floats, observed: float) -> float:
    """Return the share of draws that reach a statistic, (1 + hits)/(1 + draws)."""
    return float((1 + np.sum(null >= observed - 1e-9)) / (1 + len(null)))


def _null(covariance: Floats, freedom: float) -> tuple[Floats, Floats]:
    """Return both statistics of draws of the noise on a plateau."""
    n, variance = len(covariance), covariance[0, 0]
    if np.array_equal(covariance, variance * np.eye(n)):
        return _null_of_equal_variances(n, freedom)
    return _null_of(_root(covariance), 1 / np.diag(covariance), freedom)


@lru_cache(maxsize=512)
def _null_of_equal_variances(n: int, freedom: float) -> tuple[Floats, Floats]:
    """Return both statistics for independent noise of any one variance, on which they do not depend."""
    return _null_of(np.eye(n), np.ones(n), freedom)


def _null_of(root: Floats, weights: Floats, freedom: float) -> tuple[Floats, Floats]:
    """Return both statistics of draws of noise, of which the root of the covariance is given."""
    draws = np.random.default_rng(0).standard_normal((DRAWS, len(root))) @ root
    estimated = math.isfinite(freedom)
    rise, curve = _statistics(draws, weights, estimated)
    if estimated:  # the estimate of the noise may be too small or too large
        curve = curve / (np.random.default_rng(1).chisquare(freedom, DRAWS) / freedom)
    return rise, curve


def _root(covariance: Floats) -> Floats:
    """Return a square root of a covariance, which may be singular."""
    if np.count_nonzero(covariance - np.diag(np.diag(covariance))) == 0:
        return np.sqrt(covariance)
    values, vectors = np.linalg.eigh(covariance)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    return root


def _final_excess(values: Floats, weights: Floats, covariance: Floats) -> float:
    """Return the last value minus the mean of the valley's lowest block, in standard errors.

    Errors are scaled by √(V/(n − levels)) where that is below 1: values may lie nearer to the valley than their noise
    suggests, as in a collapse of few checkpoints, whose leaps were taken for noise.
    """
    misfits = valley_misfits(values[None], weights)[0]
    falls = int(np.argmin(misfits))
    fitted = np.append(
        falling_fit(values[:falls], weights[:falls]) if falls else [],
        -falling_fit(-values[falls:], weights[falls:]) if falls < len(values) else [],
    )
    block = np.flatnonzero(fitted <= fitted.min())
    contrast = np.zeros(len(values))
    contrast[-1] = 1
    contrast[block] -= weights[block] / weights[block].sum()
    freedom = max(1, len(values) - len(np.unique(fitted)))
    scale = min(1.0, math.sqrt(float(misfits[falls]) / freedom))
    error = scale * math.sqrt(max(0.0, float(contrast @ covariance @ contrast)))
    excess = float(contrast @ values)
    return excess / error if error > 0 else math.copysign(math.inf, excess) if excess else 0.0


def _peak(values: Floats, weights: Floats) -> int:
    """Return the index of the last checkpoint of the beginning that looks most like a valley."""
    evidence = [float(_statistics(values[None, : j + 1], weights[: j + 1], False)[0][0]) for j in range(len(values))]
    return int(np.argmax(evidence))
