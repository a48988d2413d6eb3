"""The onset of a rise: the change point at which a metric began to get worse, with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats, Ints
from degen.stats.monotone import falling_fit
from degen.stats.quantiles import two_sided

from .noise import FREE

BEYOND_NOISE = 4.0  # deviations from which on a rise is certain; later values tell nothing about its onset
SUBDIVISIONS = 8  # change points that are tried between two checkpoints
POWERS = (0.0, 0.5, 1.0, 2.0)  # of the time since the onset, that a rise may follow; 0 is a jump
ENDS = (0.25, 0.5, 0.75, 1.0)  # of a fall along a line, as shares of the time to the onset
DECAYS = (0.02, 0.05, 0.1, 0.2, 0.4)  # of an exponential fall, as shares of the course
CENTRAL = (0.5, 1.0)  # of these, whose change points the step is the mean of
CALIBRATION = 3.0  # factor on the likelihood-ratio bound of a regular parameter, from bench/saturation.py


@dataclass(frozen=True)
class Onset:
    """The onset of a rise, in steps, or in tokens where steps begin anew.

    Attributes:
        step: mean of the change points that fit, weighted by their likelihoods.
        low: the last checkpoint before the earliest change point that fits.
        high: the first checkpoint after the latest that fits.
    """

    step: int
    low: int
    high: int


def find_onset(steps: Ints, values: Floats, noise: float, floor: float, confidence: float = 0.9) -> Onset:
    """Return the change point of a curve that falls or stays level, and then rises.

    Model: c + a·g(min(t, τ)) + b·(t − τ)₊^q; the fall g is a line that ends at a quarter, half, three quarters or all
    of the time to τ, or an exponential that decays over 0.02 to 0.4 of the course, a ≥ 0; the rise follows a power q
    of 0 (a jump), ½, 1 or 2, b ≥ 0. Only the values up to where the rise is certain enter: where the best curve that
    rises exceeds the bottom by 4 standard deviations and the floor, or where it never does, by nine tenths of the
    whole rise. R(τ) is the least misfit over all of these; eight τ between any two checkpoints are tried. The
    interval is R(τ) ≤ min R + 3·z²·s², z the normal quantile and s the noise, or what the best of these curves leaves
    per degree of freedom, where that is more; the factor is from simulation, since a change point is no regular
    parameter, and neighbours share noise. Its ends are moved out to the next checkpoints, as there are no values
    between them. The step is the mean of τ over a linear rise and one that flattens out (½).

    Args:
        steps: ascending.
        values: the larger the worse, up to where the evidence for the rise is strongest; at least three.
        noise: standard deviation of a value.
        floor: the rise that matters, in the metric's unit.
        confidence: of the interval.

    Source: Hinkley 1969, Inference about the intersection in two-phase regression, for the likelihood; see
        docs/saturation.md for coverage and width.
    """
    end = _certain(values, floor, BEYOND_NOISE * noise) + 1
    times = steps[:end].astype(np.float64)
    parts = np.arange(SUBDIVISIONS) / SUBDIVISIONS
    change_points = (times[:-1, None] + parts * np.diff(times)[:, None]).ravel()
    misfits = {power: _misfits(times, values[:end], change_points, power) for power in POWERS}
    square = max(noise**2, float(np.min(list(misfits.values()))) / max(1, end - FREE))
    misfits = {power: misfit / square for power, misfit in misfits.items()}
    least = np.min(list(misfits.values()), axis=0)
    fits = np.flatnonzero(least <= least.min() + CALIBRATION * two_sided(confidence) ** 2)
    central = np.stack([misfits[power][fits] for power in CENTRAL])
    likelihood = np.exp(-(central - central.min()) / 2).sum(axis=0)
    step = float(likelihood @ change_points[fits] / likelihood.sum())
    low, high = times[fits[0] // SUBDIVISIONS], times[fits[-1] // SUBDIVISIONS + 1]
    return Onset(round(step), round(float(low)), round(float(high)))


def _certain(values: Floats, floor: float, noise: float) -> int:
    """Return the index of the first checkpoint at which the rise is certain."""
    n = len(values)
    flat = np.ones(n)
    sums = np.array([_valley_misfit(values, flat, k) for k in range(1, n)])
    bottom = 1 + int(np.argmin(sums))
    rising = -falling_fit(-values[bottom:], flat[bottom:])
    base = float(falling_fit(values[:bottom], flat[:bottom])[-1])
    needed = min(0.9 * (float(rising[-1]) - base), max(floor, noise))
    return min(bottom + int(np.argmax(rising >= base + needed - 1e-12)), n - 1)


def _valley_misfit(values: Floats, weights: Floats, bottom: int) -> float:
    """Return Σ (x − m)² of the nearest curve that falls before an index and rises from it on."""
    falls = falling_fit(values[:bottom], weights[:bottom])
    rises = -falling_fit(-values[bottom:], weights[bottom:])
    return float(((values[:bottom] - falls) ** 2).sum() + ((values[bottom:] - rises) ** 2).sum())


def _misfits(times: Floats, values: Floats, change_points: Floats, power: float) -> Floats:
    """Return the least Σ (x − model)² for each change point, over all falls with a ≥ 0 and b ≥ 0."""
    span = times[-1] - times[0]
    after = np.maximum(times - change_points[:, None], 0) / span
    rise = _centred((after > 0).astype(np.float64) if power == 0 else after**power)
    before = (np.minimum(times, change_points[:, None]) - times[0]) / span
    centred = values - values.mean()
    least = np.full(len(change_points), np.inf)
    lines = (-np.minimum(before, share * before[:, -1:]) for share in ENDS)
    for fall in (*lines, *(np.exp(-before / decay) for decay in DECAYS)):
        np.minimum(least, _two_sided_misfit(centred, _centred(fall), rise), out=least)
    return least


def _two_sided_misfit(values: Floats, fall: Floats, rise: Floats) -> Floats:
    """Return the least Σ (x − a·fall − b·rise)² with a, b ≥ 0 for every row of falls and rises."""
    aa, bb, ab = (fall**2).sum(axis=1), (rise**2).sum(axis=1), (fall * rise).sum(axis=1)
    ax, bx = fall @ values, rise @ values
    tiny = 1e-12 * len(values)
    gain = np.zeros(len(fall))
    for square, product in ((aa, ax), (bb, bx)):
        alone = np.where(square > tiny, np.maximum(product, 0) ** 2 / np.maximum(square, tiny), 0.0)
        np.maximum(gain, alone, out=gain)
    determinant = aa * bb - ab**2
    a, b = bb * ax - ab * bx, aa * bx - ab * ax
    both = (determinant > 1e-9 * aa * bb) & (a > 0) & (b > 0)
    together = (a * ax + b * bx) / np.where(both, determinant, 1.0)
    return np.asarray(values @ values - np.where(both, np.maximum(gain, together), gain))


def _centred(rows: Floats) -> Floats:
    return np.asarray(rows - rows.mean(axis=1, keepdims=True))
