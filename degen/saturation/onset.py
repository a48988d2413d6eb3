"""When a metric left its earlier curve: a change point with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats, Ints
from degen.stats.monotone import falling_fit, valley_misfits

from .noise import Noise

BEYOND_NOISE = 4.0  # standard deviations at which a rise is plain; what comes later says nothing of its beginning
PLACES = 8  # between two checkpoints
CALIBRATION = (
    1.5  # by how much the likelihood-ratio bound has to exceed that of a regular parameter: docs/saturation.md
)


@dataclass(frozen=True)
class Onset:
    """When a curve turned, in steps.

    Attributes:
        step: mean of the places that fit, each weighted by its likelihood.
        low: the last checkpoint before the earliest place that fits.
        high: the first checkpoint after the latest that fits.
    """

    step: int
    low: int
    high: int


def find_onset(steps: Ints, values: Floats, noise: Noise, floor: float, confidence: float = 0.9) -> Onset:
    """Return the change point of a curve that falls, or stands, and then rises.

    Model: up to τ the best curve that never rises; from τ on its last level c plus s·(t − τ), s ≥ 0. The line needs
    to hold only until the rise is plain: beyond noise (4 standard deviations) and beyond the floor, or nine tenths of
    it where it never gets there; collapses are no straight lines later on. R(τ) is the least misfit over curve, c and
    s; τ runs over eight places between any two checkpoints. The interval is R(τ) ≤ min R + 1.5·q, q the quantile of
    χ²₁, or of F(1, ν) where the noise was estimated; the factor is from simulation, since a change point is no regular
    parameter. Its ends are moved out to the next checkpoints: nobody saw what happened between them.

    Args:
        steps: ascending.
        values: the larger the worse, up to where the evidence for the rise is strongest; three at least.
        noise: of these values.
        floor: the rise that matters, in the metric's unit.
        confidence: of the interval.

    Source: Hinkley 1969, Inference about the intersection in two-phase regression, for the likelihood; see
        docs/saturation.md for coverage and width.
    """
    from scipy.stats import chi2, f

    weights = 1 / noise.variances
    end = _plain(values, weights, floor, BEYOND_NOISE * float(np.sqrt(np.median(noise.variances)))) + 1
    times, values, weights = steps[:end].astype(np.float64), values[:end], weights[:end]
    parts = np.arange(PLACES) / PLACES
    places = (times[:-1, None] + parts * np.diff(times)[:, None]).ravel()
    misfits = np.array([_misfit(times, values, weights, place) for place in places])
    if np.isfinite(noise.freedom):
        bound = float(f.ppf(confidence, 1, noise.freedom))
    else:
        bound = float(chi2.ppf(confidence, 1))
    above = misfits - misfits.min()
    fits = np.flatnonzero(above <= CALIBRATION * bound)
    likelihood = np.exp(-above[fits] / 2)
    step = float(likelihood @ places[fits] / likelihood.sum())
    low, high = times[fits[0] // PLACES], times[fits[-1] // PLACES + 1]
    return Onset(round(step), round(float(low)), round(float(high)))


def _plain(values: Floats, weights: Floats, floor: float, noise: float) -> int:
    """Return the first checkpoint at which the rise is plain, as an index."""
    n = len(values)
    misfits = valley_misfits(values[None], weights)[0]
    bottom = min(max(int(np.argmin(misfits)), 1), n - 1)
    rising = -falling_fit(-values[bottom:], weights[bottom:])
    base = float(falling_fit(values[:bottom], weights[:bottom])[-1])
    needed = min(0.9 * (float(rising[-1]) - base), max(floor, noise))
    return min(bottom + int(np.argmax(rising >= base + needed - 1e-12)), n - 1)


def _misfit(times: Floats, values: Floats, weights: Floats, place: float) -> float:
    """Return R(τ): least Σ w (x − model)² over curves that never rise, the level they end at, and the slope from it.

    For a given level c the curve is the best one that never rises, cut off at c, and the slope is least squares; the
    sum is convex in c, which is found by narrowing an interval. No level lies below all values: a curve may not fall
    unseen between two checkpoints to rise from there.
    """
    before = times <= place
    earlier, later = values[before], values[~before]
    u, v = weights[before], weights[~before]
    curve = falling_fit(earlier, u)
    ramp = times[~before] - place
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
