"""The noise of a curve: the scatter of its values about a smooth fall and rise, without those that stray alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from degen.arrays import Floats, Mask
from degen.stats.quantiles import two_sided

LEAST_CHECKPOINTS = 5  # for an estimate of the noise from the values alone
FREE = 4  # parameters of the smooth curve: a level, a fall, a rise, and where one becomes the other
DECAYS = (0.07, 0.1, 0.14, 0.2, 0.28, 0.4)  # of exponential falls, as shares of the course
BEGINNINGS = (0.03, 0.1, 0.3)  # how long before the course falls with the power −½ began, as shares of it
STEEP = 20.0  # deviations above its best, from which on a metric falls too steeply to show its noise
STRAYS = 6.0  # deviations from the median of five neighbours, beyond which a value strays
KEPT = 0.7  # share of the residuals between neighbours, the smallest, that count: a collapse is no noise
SHARED = 1.6  # how much larger the noise may be than the scatter between neighbours, which err together
LEAST_FOR_NEIGHBOURS = 10  # checkpoints, from which on that bound is used
LATER = 2.0  # how much larger the noise may be than that of the beginning: a collapse is volatile itself
BEGINNING = 0.4  # share of the checkpoints
LEAST_FOR_BEGINNING = 14  # checkpoints, from which on that bound is used
LEAST_OF_BEGINNING = 8
DISTINCT = 0.5  # share of values that differ: those of rare events are equal mostly, and show no scatter
NORMAL_MEDIAN = 0.6745  # median of |z|, z a standard normal


@dataclass(frozen=True)
class Scatter:
    """The scatter of values about the smooth curve that is nearest to them.

    Attributes:
        deviation: standard deviation, in the metric's unit.
        correlation: of neighbouring residuals, from −1 to 1; of few checkpoints far too low.
    """

    deviation: float
    correlation: float


def find_scatter(steps: Floats, values: Floats) -> Scatter | None:
    """Return the scatter of values about a smooth fall and rise; None with fewer than 5 checkpoints.

    Formula: s² = min Σ(x − c − a·g(min(t, τ)) − b·max(t − τ, 0))²/(n − 4) over the level c, the fall a, the rise b, its
    begin τ (any checkpoint or the middle between two) and the shape g of the fall: a line, an exponential that decays
    over 0.07, 0.1, 0.14, 0.2, 0.28 or 0.4 of the course, or (t + δ)^−½ with δ 0.03, 0.1 or 0.3 of it. A steep fall
    between two of these shapes would add to the scatter, and hide a rise, so they lie close together. Many a collapse
    is no such curve, or is volatile itself, and would add to it, too. So from 10 checkpoints on s is no more than 1.6
    times the scatter between neighbours (`trimmed_deviation`), as large as the noise of neighbours that correlate by
    0.5 may be; from 14 on no more than twice the s of the first two fifths, as large as noise that grows may be.

    Args:
        steps: ascending, n of them.
        values: at each.
    """
    n = len(values)
    if n < LEAST_CHECKPOINTS:
        return None
    scatter = _smooth_scatter(steps, values)
    deviation = scatter.deviation
    if len(np.unique(values)) >= DISTINCT * n:
        if n >= LEAST_FOR_NEIGHBOURS:
            deviation = min(deviation, SHARED * trimmed_deviation(steps, values))
        if n >= LEAST_FOR_BEGINNING:
            m = max(LEAST_OF_BEGINNING, round(BEGINNING * n))
            deviation = min(deviation, LATER * _smooth_scatter(steps[:m], values[:m]).deviation)
    return Scatter(max(deviation, rounding(values)), scatter.correlation)


def _smooth_scatter(steps: Floats, values: Floats) -> Scatter:
    """Return the scatter of at least five values about the smooth curve that is nearest to them."""
    centred = values - values.mean()
    axes = _axes(np.ascontiguousarray(steps, dtype=np.float64).tobytes())
    along = axes @ centred
    left = centred @ centred - (along**2).sum(axis=1)
    best = int(np.argmin(left))
    residuals = centred - along[best] @ axes[best]
    square = float(residuals @ residuals)
    correlation = float(residuals[1:] @ residuals[:-1]) / square if square > 0 else 0.0
    return Scatter(math.sqrt(square / (len(values) - FREE)), correlation)


@lru_cache(maxsize=32)
def _axes(steps: bytes) -> Floats:
    """Return orthonormal axes of every fall and rise without its level, curves × 2 × n, by the bytes of the steps."""
    t = np.frombuffer(steps)
    t = (t - t[0]) / (t[-1] - t[0])
    turns = np.unique(np.concatenate([t[1:], (t[1:-2] + t[2:-1]) / 2]))[:, None]
    before = np.minimum(t, turns)
    rises = _centred(np.maximum(t - turns, 0))
    falls = [_centred(before), *(_centred(np.exp(-before / decay)) for decay in DECAYS)]
    falls += [_centred(1 / np.sqrt(before + beginning)) for beginning in BEGINNINGS]
    first = np.concatenate([_unit(fall) for fall in falls])
    second = np.concatenate([rises] * len(falls))
    second = _unit(second - (second * first).sum(axis=1, keepdims=True) * first)
    return np.stack([first, second], axis=1)


def _centred(rows: Floats) -> Floats:
    return np.asarray(rows - rows.mean(axis=1, keepdims=True))


def _unit(rows: Floats) -> Floats:
    """Return rows of length 1, and of length 0 where they are no more than rounding."""
    lengths = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return np.asarray(np.where(lengths > 1e-9, rows / np.maximum(lengths, 1e-300), 0.0))


def rounding(values: Floats) -> float:
    """Return the least deviation that values can show, in the metric's unit."""
    return 1e-9 * float(np.max(np.abs(values))) + 1e-300


def local_deviation(steps: Floats, values: Floats) -> float:
    """Return the scatter of values between their two neighbours, by the median: median |r|/0.6745.

    The residuals r are those of `between_neighbours`. Where neighbours err together it is too small.
    """
    return float(np.median(np.abs(between_neighbours(steps, values)))) / NORMAL_MEDIAN


def trimmed_deviation(steps: Floats, values: Floats) -> float:
    """Return the scatter of values between their two neighbours, by the smallest seven tenths of the residuals.

    Formula: s² = Σ r²/(k·m), r the smallest k residuals of `between_neighbours` and m the mean square of the smallest
    0.7 of normal draws. Where neighbours err together it is too small.
    """
    squares = np.sort(between_neighbours(steps, values) ** 2)
    kept = squares[: max(1, round(KEPT * len(squares)))]
    return math.sqrt(float(kept.mean()) / _trimmed_normal())


@lru_cache(maxsize=1)
def _trimmed_normal() -> float:
    """Return the mean square of the smallest 0.7 of normal draws: 1 − 2·c·φ(c)/0.7, c their bound."""
    bound = two_sided(KEPT)
    return 1 - 2 * bound * math.exp(-(bound**2) / 2) / math.sqrt(2 * math.pi) / KEPT


def between_neighbours(steps: Floats, values: Floats) -> Floats:
    """Return the residuals of all values but the first and last from the line through their neighbours, scaled.

    Formula: (x − x̂)/√(1 + u² + (1 − u)²), x̂ on the straight line between the two neighbours, u the share of the way to
    the later one: of independent noise they have its variance.

    Args:
        steps: ascending, at least three.
        values: at each.
    """
    u = (steps[1:-1] - steps[:-2]) / (steps[2:] - steps[:-2])
    residuals = values[1:-1] - (1 - u) * values[:-2] - u * values[2:]
    return np.asarray(residuals / np.sqrt(1 + u**2 + (1 - u) ** 2))


def first_near(values: Floats, near: float) -> int:
    """Return the index at which a metric first came as near as that to its best."""
    return int(np.argmax(values <= values.min() + near))


def measurable_start(steps: Floats, values: Floats, floor: float) -> int:
    """Return the index from which on the metric falls slowly enough to show its noise.

    It is then within 20 deviations of its best, or within the floor.

    Args:
        steps: ascending, n of them.
        values: at each, the larger the worse.
        floor: the rise that matters; within it the metric is near its best in any case.

    Returns:
        At most n − 8, or 0 with fewer than 8 checkpoints.
    """
    start = 0
    latest = max(0, len(values) - 8)
    for _ in range(3):
        start = min(start, latest)
        near = max(floor, STEEP * local_deviation(steps[start:], values[start:]))
        if (found := first_near(values, near)) == start:
            break
        start = found
    return min(start, latest)


def straying(steps: Floats, values: Floats) -> Mask:
    """Return which values stray alone: further than 6 deviations from the median of the five around them.

    The first two and the last two never do, since what comes before or after is not known. Where more than one in eight
    would (of few values, more than one), none does: then the noise is of that kind.
    """
    stray = np.zeros(len(values), dtype=bool)
    if len(values) < 7:
        return stray
    deviation = local_deviation(steps, values)
    medians = np.median(np.lib.stride_tricks.sliding_window_view(values, 5), axis=1)
    stray[2:-2] = np.abs(values[2:-2] - medians) > STRAYS * deviation
    alone = deviation > rounding(values) and stray.sum() <= max(1, len(values) // 8)
    return stray if alone else np.zeros(len(values), dtype=bool)
