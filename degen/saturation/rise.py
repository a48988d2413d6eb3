"""Whether a metric got worse: a test of courses that fall and then rise against courses that never rise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .course import Floats
from .monotone import falling_fit, valley_misfits
from .noise import Noise, late_start

DRAWS = 4000  # of noise; a p-value is no smaller than 1/4001


@dataclass(frozen=True)
class Rise:
    """What the test says of a course whose values are the larger the worse.

    Attributes:
        p_value: how often noise on a plateau looks as much like a valley, best being wherever it happens to be.
        p_course: how often noise on a plateau lies as far from every course that never rises, rises that came back
            included.
        final_excess: the last value above the level of the valley's bottom, in standard errors of that difference.
        start: where the metric had first come near its best, as an index; what went before does not enter.
        peak: where the evidence for a rise was strongest, as an index.
    """

    p_value: float
    p_course: float
    final_excess: float
    start: int
    peak: int


def find_rise(values: Floats, noise: Noise, floor: float) -> Rise:
    """Test whether a course rose after its best.

    Formula: with F the misfit of the nearest course that never rises and V that of the nearest one that falls, then
    rises, T = F − V, both in units of the noise, over the late part of training (`late_start`). Among all courses
    that never rise the plateau gives the largest T, so p = P(T₀ ≥ T) with T₀ from draws of the noise on a plateau: the
    search for the best is repeated in every draw, and draws carry what the checkpoints' errors have in common. Where
    the noise was estimated with ν degrees of freedom, T₀ is divided by a draw of χ²_ν/ν. Only the order of the steps
    enters, never their distances. F alone, compared with its own draws, gives p_course.

    Args:
        values: the metric in the order of training, the larger the worse; n ≥ 3.
        noise: their noise.
        floor: the rise that matters, in the metric's unit.

    Source: Robertson, Wright and Dykstra 1988, Order Restricted Statistical Inference, chapters 2 and 6; Phipson and
        Smyth 2010 for (1 + hits)/(1 + draws).
    """
    start = late_start(values, noise.variances, floor)
    late, weights = values[start:], 1 / noise.variances[start:]
    valley, course = _statistics(late[None], weights)
    valley_null, course_null = _null(noise.covariance[start:, start:], noise.freedom)
    return Rise(
        p_value=_p_value(valley_null, float(valley[0])),
        p_course=_p_value(course_null, float(course[0])),
        final_excess=_final_excess(late, weights, noise.covariance[start:, start:]),
        start=start,
        peak=start + _peak(late, weights),
    )


def _null(covariance: Floats, freedom: float) -> tuple[Floats, Floats]:
    """T and F of draws of the noise on a plateau."""
    n, variance = len(covariance), covariance[0, 0]
    if np.array_equal(covariance, variance * np.eye(n)):
        return _even_null(n, freedom)  # the same for every such course
    return _statistics(_scaled(_normal(n) @ _root(covariance), freedom), 1 / np.diag(covariance))


@lru_cache(maxsize=512)
def _even_null(n: int, freedom: float) -> tuple[Floats, Floats]:
    return _statistics(_scaled(_normal(n), freedom), np.ones(n))


def _normal(n: int) -> Floats:
    return np.random.default_rng(0).standard_normal((DRAWS, n))


def _scaled(drawn: Floats, freedom: float) -> Floats:
    """Draws as large as they look where the noise was estimated too small, or too large."""
    if not math.isfinite(freedom):
        return drawn
    scale: Floats = np.sqrt(np.random.default_rng(1).chisquare(freedom, (DRAWS, 1)) / freedom)
    return drawn / scale


def _root(covariance: Floats) -> Floats:
    """A square root of a covariance, which may be singular."""
    if np.count_nonzero(covariance - np.diag(np.diag(covariance))) == 0:
        return np.sqrt(covariance)
    values, vectors = np.linalg.eigh(covariance)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    return root


def _statistics(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """T and F of every row."""
    misfits = valley_misfits(values, weights)
    never_rises = misfits[:, -1]
    return never_rises - misfits.min(axis=1), never_rises


def _p_value(null: Floats, observed: float) -> float:
    return float((1 + np.sum(null >= observed - 1e-12)) / (1 + len(null)))


def _final_excess(values: Floats, weights: Floats, covariance: Floats) -> float:
    """The last value less the mean of the valley's lowest block, in standard errors."""
    falls = int(np.argmin(valley_misfits(values[None], weights)))
    fitted = np.append(
        falling_fit(values[:falls], weights[:falls]) if falls else [],
        -falling_fit(-values[falls:], weights[falls:]) if falls < len(values) else [],
    )
    block = np.flatnonzero(fitted <= fitted.min())
    contrast = np.zeros(len(values))
    contrast[-1] = 1
    contrast[block] -= weights[block] / weights[block].sum()
    error = math.sqrt(max(0.0, float(contrast @ covariance @ contrast)))
    return float(contrast @ values) / error if error > 0 else 0.0


def _peak(values: Floats, weights: Floats) -> int:
    """The last checkpoint of the stretch that looks most like a valley."""
    evidence = [float(_statistics(values[None, : j + 1], weights[: j + 1])[0][0]) for j in range(len(values))]
    return int(np.argmax(evidence))
