"""The onset of a rise: the change point at which a metric began to get worse, with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats, Ints
from degen.stats.monotone import falling_fit, valley_misfits
from degen.stats.quantiles import two_sided

from .noise import Noise

BEYOND_NOISE = 4.0  # standard deviations from which on a rise is certain; later values tell nothing about its onset
SUBDIVISIONS = 8  # change points that are tried between two checkpoints
CALIBRATION = 1.5  # factor on the likelihood-ratio bound of a regular parameter, from docs/saturation.md


@dataclass(frozen=True)
class Onset:
    """The onset of a rise, in steps.

    Attributes:
        step: mean of the change points that fit, weighted by their likelihoods.
        low: the last checkpoint before the earliest change point that fits.
        high: the first checkpoint after the latest that fits.
    """

    step: int
    low: int
    high: int


def find_onset(steps: Ints, values: Floats, noise: Noise, floor: float, confidence: float = 0.9) -> Onset:
    """Return the change point of a curve that falls or stays level, and then rises.

    Model: up to τ the best curve that never rises; from τ on its last level c plus s·(t − τ), s ≥ 0. Only the values up
    to where the rise is certain enter, since later on a collapse is no straight line: where it exceeds 4 standard
    deviations of the noise and the floor, or where it never does, nine tenths of the whole rise. R(τ) is the least
    misfit over curve, c and s; eight τ between any two checkpoints are tried. The interval is R(τ) ≤ min R + 1.5·q, q
    the quantile of χ²₁, or of F(1, ν) where the noise was estimated; the factor is from simulation, since a change
    point is no regular parameter. The ends are moved out to the next checkpoints, as there are no values between them.

    Args:
        steps: ascending.
        values: the larger the worse, up to where the evidence for the rise is strongest; at least three.
        noise: of these values.
        floor: the rise that matters, in the metric's unit.
        confidence: of the interval.

    Source: Hinkley 1969, Inference about the intersection in two-phase regression, for the likelihood; see
        docs/saturation.md for coverage and width.
    """
    from scipy.special import fdtri

    weights = 1 / noise.variances
    end = _certain(values, weights, floor, BEYOND_NOISE * float(np.sqrt(np.median(noise.variances)))) + 1
    times, values, weights = steps[:end].astype(np.float64), values[:end], weights[:end]
    parts = np.arange(SUBDIVISIONS) / SUBDIVISIONS
    change_points = (times[:-1, None] + parts * np.diff(times)[:, None]).ravel()
    misfits = np.array([_misfit(times, values, weights, change_point) for change_point in change_points])
    # the quantile of χ²₁ is the square of the normal one
    bound = fdtri(1, noise.freedom, confidence) if np.isfinite(noise.freedom) else two_sided(confidence) ** 2
    above = misfits - misfits.min()
    fits = np.flatnonzero(above <= CALIBRATION * bound)
    likelihood = np.exp(-above[fits] / 2)
    step = float(likelihood @ change_points[fits] / likelihood.sum())
    low, high = times[fits[0] // SUBDIVISIONS], times[fits[-1] // SUBDIVISIONS + 1]
    return Onset(round(step), round(float(low)), round(float(high)))


def _certain(values: Floats, weights: Floats, floor: float, noise: float) -> int:
    """Return the index of the first checkpoint at which the rise is certain."""
    n = len(values)
    misfits = valley_misfits(values[None], weights)[0]
    bottom = min(max(int(np.argmin(misfits)), 1), n - 1)
    rising = -falling_fit(-values[bottom:], weights[bottom:])
    base = float(falling_fit(values[:bottom], weights[:bottom])[-1])
    needed = min(0.9 * (float(rising[-1]) - base), max(floor, noise))
    return min(bottom + int(np.argmax(rising >= base + needed - 1e-12)), n - 1)


def _misfit(times: Floats, values: Floats, weights: Floats, change_point: float) -> float:
    """Return R(τ): least Σ w (x − model)² over curves that never rise, the level they end at, and the slope from it.

    For a given level c the curve is the best one that never rises, but no lower than c, and the slope is that of least
    squares; the sum is convex in c, which is found by narrowing an interval. The level is no lower than all values:
    else the curve would fall between two checkpoints, where there are no values.
    """
    before = times <= change_point
    earlier, later = values[before], values[~before]
    u, v = weights[before], weights[~before]
    curve = falling_fit(earlier, u)
    ramp = times[~before] - change_point
    ramp = ramp / ramp[-1]
    square, product, mass = float(v @ ramp**2), float(v @ (ramp * later)), float(v @ ramp)
    bottom, top = float(values.min()), float(values.max())
    low, high = bottom, top
    least = np.inf
    for _ in range(5):
        levels = np.linspace(low, high, 17)
        slopes = np.maximum(0.0, (product - levels * mass) / square)
        fitted = np.maximum(curve, levels[:, None])
        sums = ((earlier - fitted) ** 2) @ u + ((later - levels[:, None] - slopes[:, None] * ramp) ** 2) @ v
        best = int(np.argmin(sums))
        least = min(least, float(sums[best]))
        width = (high - low) / 16
        low, high = max(bottom, levels[best] - width), min(top, levels[best] + width)
    return least
