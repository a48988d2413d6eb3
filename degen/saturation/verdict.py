"""The verdict on a curve: whether it got worse late in training, since when, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from degen.arrays import Floats, Ints
from degen.metrics.curve import Curve
from degen.stats.quantiles import one_sided

from .noise import LEAST_CHECKPOINTS, Noise, find_noise
from .onset import Onset, find_onset
from .rise import Rise, find_rise

VerdictLabel = Literal["saturated", "recovered", "not_saturated", "undecided"]

STAYS = 0.01  # probability of taking a final value that came back for one that stayed
LEAST = 3  # checkpoints: the best can then be neither the first nor the last


@dataclass(frozen=True)
class Verdict:
    """The verdict on a curve.

    Attributes:
        curve: the curve.
        verdict: `saturated`, `recovered`, `not_saturated` or `undecided`.
        reason: an explanation in a sentence.
        checkpoints: number of values, after the beginning of training.
        best_step: step of the best value.
        best_value: the best value.
        final_step: step of the last checkpoint.
        final_value: the value there.
        gap: by how much the final value is worse than the best, in the metric's unit; 0 or more.
        noise: standard deviation of a value, the median over checkpoints.
        p_value: probability that a curve that never gets worse looks as bad; see `find_rise`.
        onset: when the rise began, of a curve that saturated or recovered.
    """

    curve: Curve
    verdict: VerdictLabel
    reason: str
    checkpoints: int
    best_step: int | None = None
    best_value: float | None = None
    final_step: int | None = None
    final_value: float | None = None
    gap: float | None = None
    noise: float | None = None
    p_value: float | None = None
    onset: Onset | None = None


def judge(curve: Curve, level: float = 0.05, confidence: float = 0.9, after: float = 0.05) -> Verdict:
    """Return the verdict on a curve after the beginning of training.

    A metric is `saturated` where it got worse after its best (p-value of `find_rise` below the level), its final value
    is worse than the best by more than the noise of that value (at 99 %), and the gap reaches the floor. It has
    `recovered` where it got worse by the floor after it was first near its best (`late_start`), by the same test or by
    that of F, and came back. It is `not_saturated` where the gap is below the floor, or more than half of the curves
    that never get worse look as bad. Else it is `undecided`.

    Args:
        curve: the curve.
        level: of the test: how often a curve that never gets worse may be called saturated.
        confidence: of the onset's interval.
        after: the share of all steps that is the beginning of training. Its checkpoints are left out: the geometry of a
            model that has learnt nothing is at its best, and losing it is no degeneration.
    """
    late = curve.steps >= after * curve.steps.max(initial=0)
    kept = np.flatnonzero(np.isfinite(curve.values) & late)
    if (problem := _problem(curve, kept, after)) is not None:
        return Verdict(curve, "undecided", problem, len(kept))
    errors = None if curve.errors is None else curve.errors[kept]
    covariance = None if curve.covariance is None else curve.covariance[np.ix_(kept, kept)]
    steps, values = curve.steps[kept], curve.values[kept]
    loss_like = values if curve.better == "min" else -values  # the larger the worse
    noise = find_noise(steps, loss_like, errors, covariance, curve.floor)
    if noise is None:
        problem = (
            f"{len(kept)} checkpoints show no noise to compare with; {LEAST_CHECKPOINTS} would, or standard errors"
        )
        return Verdict(curve, "undecided", problem, len(kept))
    return _judge_late(curve, steps, values, noise, level, confidence)


def _problem(curve: Curve, kept: Ints, after: float) -> str | None:
    """Return the reason why no verdict is possible; None where one is.

    Args:
        curve: the curve.
        kept: indices of its finite values after the beginning of training.
        after: the share of all steps that is the beginning.
    """
    steps, values = curve.steps, curve.values[kept]
    back = np.flatnonzero(np.diff(steps) < 0)
    twice = np.flatnonzero(np.diff(np.sort(steps)) == 0)
    if len(twice):
        return f"step {np.sort(steps)[twice[0]]} stands twice; keep one of its rows, or tell them apart with --where"
    if len(back):
        i = int(back[0])
        return f"step {steps[i + 1]} stands behind {steps[i]}; if it is one run and not two, --sort puts them in order"
    known = np.isfinite(curve.values)
    if not known.any():
        return "no checkpoint has a value" if len(steps) else "no checkpoint"
    if not known[-1]:
        return f"the last checkpoint, step {steps[-1]}, has no value"
    if len(kept) < LEAST:
        early = f" after the first {after:.0%} of training" if known.sum() > len(kept) else ""
        return f"{len(kept)} checkpoint{'s' * (len(kept) > 1)} with a value{early}; {LEAST} are needed"
    if np.ptp(values) == 0:
        return f"all {len(kept)} values are {values[0]:g}; a metric that never moves says nothing"
    return None


def _judge_late(curve: Curve, steps: Ints, values: Floats, noise: Noise, level: float, confidence: float) -> Verdict:
    """Return the verdict by the finite values after the beginning of training."""
    loss_like = values if curve.better == "min" else -values  # the larger the worse
    rise = find_rise(loss_like, noise, curve.floor)
    best = int(np.argmin(loss_like))
    gap = float(loss_like[-1] - loss_like[best])
    risen = loss_like[rise.start :] - np.minimum.accumulate(loss_like[rise.start :])  # above the best so far
    worst, excursion = rise.start + int(np.argmax(risen)), float(risen.max())
    stays = rise.final_excess > one_sided(1 - min(level, STAYS)) and gap >= curve.floor
    label: VerdictLabel
    if rise.p_value < level and stays:
        label = "saturated"
    elif min(rise.p_value, rise.p_not_monotone) < level and excursion >= curve.floor and not stays:
        label = "recovered"
    elif gap < curve.floor or rise.p_value >= 0.5:
        label = "not_saturated"
    else:
        label = "undecided"
    onset = None
    if label in ("saturated", "recovered"):
        end = max(rise.peak + 1, LEAST)  # the beginning that looks most like a valley
        part = Noise(noise.covariance[:end, :end], noise.freedom)
        onset = find_onset(steps[:end], loss_like[:end], part, curve.floor, confidence)
    reason = _reason(curve, label, gap, excursion, int(steps[worst]), rise)
    missing = int(np.sum(~np.isfinite(curve.values[curve.steps >= steps[0]])))
    return Verdict(
        curve=curve,
        verdict=label,
        reason=reason + (f"; {missing} checkpoint{'s' * (missing > 1)} without a value left out" if missing else ""),
        checkpoints=len(steps),
        best_step=int(steps[best]),
        best_value=float(values[best]),
        final_step=int(steps[-1]),
        final_value=float(values[-1]),
        gap=gap,
        noise=float(np.sqrt(np.median(noise.variances))),
        p_value=rise.p_value,
        onset=onset,
    )


def _reason(curve: Curve, label: VerdictLabel, gap: float, excursion: float, worst: int, rise: Rise) -> str:
    """Return the explanation of a verdict, with its numbers."""
    side = "above" if curve.better == "min" else "below"
    ends = f"ends {gap:.3g} {side} its best" if gap > 0 else "ends at its best"
    if label == "recovered":
        return f"was {excursion:.3g} {side} its best at step {worst}, {ends}"
    if label == "saturated" or gap == 0:
        return ends
    if label == "not_saturated" and gap < curve.floor:
        return f"{ends}, less than the {curve.floor:.3g} that matter"
    return f"{ends}, as {rise.p_value:.0%} of curves that never get worse do by noise"
