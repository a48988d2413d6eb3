"""Whether a metric got worse: a test of curves that fall and then rise against curves that never rise."""

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
    """What the test says of a curve whose values are the larger the worse.

    Attributes:
        p_value: how often noise on a plateau looks as much like a valley, best being wherever it happens to be.
        p_not_monotone: how often noise on a plateau lies as far from every curve that never rises, rises that came back
            included.
        final_excess: the last value above the level of the valley's bottom, in standard errors of that difference.
        start: where the metric had first come near its best, as an index; what went before does not enter.
        peak: where the evidence for a rise was strongest, as an index.
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
    on a plateau: the search for the best is repeated in every draw, and draws carry what the checkpoints' errors have
    in common. Only the order of the steps enters, never their distances. F alone, against its own draws, gives
    p_not_monotone; each draw of it is divided by one of χ²_ν/ν where the noise was estimated with ν degrees of freedom.

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
    """Return T, or E² where the noise was estimated, and F of every row."""
    misfits = valley_misfits(values, weights)
    never_rises = misfits[:, -1]
    rise = never_rises - misfits.min(axis=1)
    return (rise / np.maximum(never_rises, 1e-300) if estimated else rise), never_rises


def _p_value(null: Floats, observed: float) -> float:
    return float((1 + np.sum(null >= observed - 1e-9)) / (1 + len(null)))


def _null(covariance: Floats, freedom: float) -> tuple[Floats, Floats]:
    """Return the statistics of draws of the noise on a plateau."""
    n, variance = len(covariance), covariance[0, 0]
    if np.array_equal(covariance, variance * np.eye(n)):
        return _even_null(n, freedom)  # the same for every such curve
    return _null_of(_normal(n) @ _root(covariance), 1 / np.diag(covariance), freedom)


@lru_cache(maxsize=512)
def _even_null(n: int, freedom: float) -> tuple[Floats, Floats]:
    return _null_of(_normal(n), np.ones(n), freedom)


def _null_of(drawn: Floats, weights: Floats, freedom: float) -> tuple[Floats, Floats]:
    estimated = math.isfinite(freedom)
    rise, curve = _statistics(drawn, weights, estimated)
    if estimated:  # as large as it looks where the noise was estimated too small, or too large
        curve = curve / (np.random.default_rng(1).chisquare(freedom, DRAWS) / freedom)
    return rise, curve


def _normal(n: int) -> Floats:
    return np.random.default_rng(0).standard_normal((DRAWS, n))


def _root(covariance: Floats) -> Floats:
    """Return a square root of a covariance, which may be singular."""
    if np.count_nonzero(covariance - np.diag(np.diag(covariance))) == 0:
        return np.sqrt(covariance)
    values, vectors = np.linalg.eigh(covariance)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    return root


def _final_excess(values: Floats, weights: Floats, covariance: Floats) -> float:
    """Return the last value less the mean of the valley's lowest block, in standard errors.

    Values that lie nearer to the valley than their noise says, as in a collapse of few checkpoints whose leaps look
    like noise to its neighbours, count for what they are: errors are scaled by √(V/(n − levels)) where that is below 1.
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
    """Return the last checkpoint of the stretch that looks most like a valley."""
    evidence = [float(_statistics(values[None, : j + 1], weights[: j + 1], False)[0][0]) for j in range(len(values))]
    return int(np.argmax(evidence))
