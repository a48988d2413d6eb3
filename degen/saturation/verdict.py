"""The verdict on a curve: whether it got worse late in training, since when, and by how much."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from degen.arrays import Floats, Ints
from degen.metrics.curve import Curve
from degen.stats.quantiles import one_sided

from .groups import Groups, grouped
from .noise import LEAST_CHECKPOINTS
from .onset import Onset, find_onset
from .reason import Findings, explain
from .rise import NOT_UNUSUAL, Rise, find_rise, rose_before

VerdictLabel = Literal["saturated", "recovered", "not_saturated", "undecided"]

STAYS = 0.05  # probability of taking a final level that came back for one that stayed
LEAST = 3  # checkpoints: the best can then be neither the first nor the last
ENOUGH = 10  # checkpoints, from which on a rise of five deviations would most likely be seen
SMALL_NOISE = 3.0  # deviations in the floor, from which on a gap below it says that nothing happened, of fewer
MANY = 32  # checkpoints, from which on the correlation of neighbours is known well enough for an onset
MOST_SHARED = 0.5  # correlation of neighbours, that onsets allow for
LIKELY = 0.8  # p-value without the checkpoint that matters most, from which on that one alone makes the rise
LARGE = 3.0  # floors, from which on a rise that came back is not passed over unless noise does as much half of the time
LEAST_THINNED = 5  # checkpoints with every second left out


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
        noise: standard deviation of a value; of a mean, where checkpoints are grouped.
        p_value: probability that a curve that never gets worse looks as bad; see `find_rise`.
        support: how many checkpoints carry the verdict: 1 where it would be another without one of them; None where
            none was found to.
        onset: when the rise began, of a curve that saturated or recovered; on the curve's `axis`.
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
    support: int | None = None
    onset: Onset | None = None

    @property
    def onset_steps(self) -> Onset | None:
        """The onset in steps as names count them; None where there is none."""
        if self.onset is None:
            return None
        return Onset(*(self.curve.step_at(place) for place in (self.onset.step, self.onset.low, self.onset.high)))


@dataclass(frozen=True)
class _Judged:
    """The word on a course of values.

    Attributes:
        label: the verdict.
        rise: the test's result.
        support: how many checkpoints carry it; None where none was found to.
        carrier: index of the one that carries it, where there is one.
        gap: of the last value to the best of those that do not stray.
    """

    label: VerdictLabel
    rise: Rise
    support: int | None
    carrier: int | None
    gap: float


def judge(curve: Curve, level: float = 0.05, confidence: float = 0.9, after: float = 0.05) -> Verdict:
    """Return the verdict on a curve after the beginning of training.

    A metric is `saturated` where it got worse after its best (p-value of `find_rise` below the level, which no single
    one of 16 checkpoints or more can bring about, and of fewer not without some evidence of the others), its last
    values stay above the bottom by more than noise (at 95 %), and the gap reaches the floor. It has `recovered` where
    it got worse, by the same test or by that of a rise anywhere, and the gap is below the floor again. It is
    `not_saturated` where the gap is below the floor, or more than half of the curves that never get worse look as bad,
    and a rise would most likely have been seen: with fewer than 10 checkpoints where the gap is below a floor of three
    times the noise, or nothing at all looks like a rise. Else it is `undecided`, as it is where one checkpoint makes
    the rise and the others alone give too little evidence of it.

    Args:
        curve: the curve.
        level: of the test: how often a curve that never gets worse may be called saturated.
        confidence: of the onset's interval.
        after: the share of all steps that is the beginning of training. Its checkpoints are left out: the geometry of a
            model that has learnt nothing is at its best, and losing it is no degeneration.
    """
    late = curve.axis >= after * curve.axis.max(initial=0)
    kept = np.flatnonzero(np.isfinite(curve.values) & late)
    if (problem := _problem(curve, kept, after)) is not None:
        return Verdict(curve, "undecided", problem, len(kept))
    loss_like = curve.values[kept] if curve.better == "min" else -curve.values[kept]  # the larger the worse
    groups = grouped(curve.axis[kept], loss_like)
    judged = _judge(groups.last, groups.values, curve.floor, _error(curve, kept), level)
    if judged is None:
        problem = (
            f"{len(kept)} checkpoints show no noise to compare with; {LEAST_CHECKPOINTS} would, or standard errors"
        )
        return Verdict(curve, "undecided", problem, len(kept))
    return _verdict(curve, kept, groups, judged, level, confidence)


def _problem(curve: Curve, kept: Ints, after: float) -> str | None:
    """Return the reason why no verdict is possible; None where one is.

    Args:
        curve: the curve.
        kept: indices of its finite values after the beginning of training.
        after: the share of all steps that is the beginning.
    """
    steps, values = curve.axis, curve.values[kept]
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
        last = curve.steps[np.flatnonzero(known)[-1]]
        return f"the last checkpoint, step {curve.steps[-1]}, has no value; its last one is at step {last}"
    if len(kept) < LEAST:
        early = f" after the first {after:.0%} of training" if known.sum() > len(kept) else ""
        return f"{len(kept)} checkpoint{'s' * (len(kept) > 1)} with a value{early}; {LEAST} are needed"
    if np.ptp(values) == 0:
        return f"all {len(kept)} values are {values[0]:g}; a metric that never moves says nothing"
    return None


def _error(curve: Curve, kept: Ints) -> float | None:
    """Return the standard error of a value in a comparison of two, the root mean square over checkpoints.

    Of paired values it is that of a difference over √2; of others it holds if they share no noise, else it is less.
    """
    if curve.covariance is not None:
        covariance = curve.covariance[np.ix_(kept, kept)]
        n = len(kept)
        return math.sqrt(max(0.0, float(np.trace(covariance) - covariance.sum() / n)) / (n - 1))
    if curve.errors is None or not np.isfinite(curve.errors[kept]).all():
        return None
    return math.sqrt(float(np.mean(curve.errors[kept] ** 2)))


def _judge(
    steps: Ints, values: Floats, floor: float, error: float | None, level: float, *, keep_strays: bool = False
) -> _Judged | None:
    """Return the word on a course of values, the larger the worse; None where nothing shows its noise."""
    rise = find_rise(steps, values, floor, error, level, keep_strays=keep_strays)
    if rise is None:
        return None
    gap = float(values[-1] - np.delete(values, rise.strays).min())
    stays = rise.level > one_sided(1 - min(level, STAYS)) and gap >= floor
    came_back = gap < floor or (floor == 0 and gap <= rise.noise)
    risen = np.delete(values, rise.strays)[rise.start - int(np.sum(rise.strays < rise.start)) :]
    height = float((risen - np.minimum.accumulate(risen)).max())  # above the best so far
    matters = height >= floor
    usual = 0.5 if height >= LARGE * floor > 0 else NOT_UNUSUAL
    label: VerdictLabel = "undecided"
    support = rise.support
    in_doubt = rise.p_value >= level or rise.p_without >= LIKELY
    if in_doubt and rise.carrier is not None and rise.support == 1 and not came_back:
        pass  # one checkpoint makes the rise
    elif rise.p_value < level and stays:
        label = "saturated"
    elif min(rise.p_value, rise.p_hump) < level and matters:
        if came_back:
            label, support = "recovered", rise.support_of_hump or rise.support
    elif (rise.p_hump >= usual or not matters) and _nothing_happened(rise, len(values), gap, floor):
        label = "not_saturated"
    if label == "not_saturated" and rise.carrier is not None:
        label, support = "undecided", 1  # without that checkpoint a rise would be seen
    carrier = rise.carrier if support == 1 and (label == "undecided" or rise.support == 1) else None
    return _Judged(label, rise, support if label in ("saturated", "recovered") or support == 1 else None, carrier, gap)


def _nothing_happened(rise: Rise, checkpoints: int, gap: float, floor: float) -> bool:
    """Return whether a rise that matters would most likely have been seen."""
    if checkpoints < ENOUGH:
        ends_at_best = gap == 0 and rise.p_value == 1
        return ends_at_best or (gap < floor and floor >= SMALL_NOISE * rise.noise)
    return gap < floor or rise.p_value >= 0.5


def _verdict(curve: Curve, kept: Ints, groups: Groups, judged: _Judged, level: float, confidence: float) -> Verdict:
    """Return the verdict with its numbers and its reason."""
    steps, values, rise = groups.last, groups.values, judged.rise
    support = judged.support
    strays_decide = False
    if len(rise.strays):
        other = _judge(steps, values, curve.floor, _error(curve, kept), level, keep_strays=True)
        strays_decide = other is not None and other.label != judged.label
        support = 1 if strays_decide and len(rise.strays) == 1 else support
    onset = since = None
    if judged.label in ("saturated", "recovered"):
        onset = _onset(groups, rise, curve.floor, confidence)
    elif judged.carrier is not None and rise.support == 1:
        doubted = _onset(groups, rise, curve.floor, confidence)
        since = curve.step_at(doubted.step), curve.step_at(doubted.low), curve.step_at(doubted.high)
    excursion = _excursion(steps, values, rise, judged.label, level)
    own = curve.values[kept] if curve.better == "min" else -curve.values[kept]
    best = int(np.argmin(own))
    gap = float(own[-1] - own[best])
    findings = Findings(
        label=judged.label,
        side="above" if curve.better == "min" else "below",
        gap=gap,
        floor=curve.floor,
        p_value=rise.p_value,
        p_without=rise.p_without,
        support=support,
        carrier=None if judged.carrier is None else curve.step_at(int(steps[judged.carrier])),
        carrier_makes_rise=rise.support == 1,
        since=since,
        strays=[curve.step_at(int(step)) for step in steps[rise.strays]],
        strays_decide=strays_decide,
        excursion=excursion if excursion is None else (excursion[0], curve.step_at(excursion[1])),
        thinned=_thinned_labels(groups, curve.floor, judged.label, level),
        group=groups.size,
        missing=int(np.sum(~np.isfinite(curve.values[curve.axis >= curve.axis[kept[0]]]))),
    )
    return Verdict(
        curve=curve,
        verdict=judged.label,
        reason=explain(findings),
        checkpoints=len(kept),
        best_step=int(curve.steps[kept[best]]),
        best_value=float(curve.values[kept[best]]),
        final_step=int(curve.steps[kept[-1]]),
        final_value=float(curve.values[kept[-1]]),
        gap=gap,
        noise=rise.noise,
        p_value=min(rise.p_value, rise.p_hump) if judged.label == "recovered" else rise.p_value,
        support=support,
        onset=onset,
    )


def _onset(groups: Groups, rise: Rise, floor: float, confidence: float) -> Onset:
    """Return the onset of a rise, whose interval holds whole groups of checkpoints."""
    part = np.setdiff1d(np.arange(rise.measurable, rise.peak + 1), rise.strays)
    if len(part) < LEAST:
        part = np.arange(max(0, rise.peak + 1 - LEAST), max(rise.peak + 1, LEAST))
    shared = min(max(rise.correlation, 0.0), MOST_SHARED) if len(groups.values) >= MANY else 0.0
    noise = rise.noise * math.sqrt((1 + shared) / (1 - shared))  # of a mean of many neighbours
    onset = find_onset(groups.last[part], groups.values[part], noise, floor, confidence)
    low = groups.first[int(np.searchsorted(groups.last, onset.low))]
    return Onset(onset.step, int(low), onset.high)


def _excursion(steps: Ints, values: Floats, rise: Rise, label: VerdictLabel, level: float) -> tuple[float, int] | None:
    """Return how far the metric was above its best so far at most, and the step, where it came back from a rise."""
    kept = np.delete(np.arange(len(values)), rise.strays)
    first = rise.start if label == "recovered" else 0
    kept = kept[kept >= first]
    risen = values[kept] - np.minimum.accumulate(values[kept])
    worst = int(np.argmax(risen))
    if label == "recovered":
        return float(risen[worst]), int(steps[kept[worst]])
    came_back = risen[worst] - risen[-1] > 0.5 * risen[worst]
    if label == "saturated" or not came_back or not rose_before(steps[kept], values[kept], rise.noise, level):
        return None
    return float(risen[worst]), int(steps[kept[worst]])


def _thinned_labels(groups: Groups, floor: float, label: VerdictLabel, level: float) -> list[VerdictLabel]:
    """Return the other verdicts that a curve would have with every second checkpoint left out, either way."""
    others: list[VerdictLabel] = []
    for last in (1, 2):
        part = np.arange(len(groups.values) - last, -1, -2)[::-1]
        if label == "undecided" or len(part) < LEAST_THINNED:
            continue
        judged = _judge(groups.last[part], groups.values[part], floor, None, level)
        other = label if judged is None else judged.label
        less_sure = label == "not_saturated" and other == "undecided"  # for want of checkpoints
        if other not in (label, *others) and not less_sure:
            others.append(other)
    return others
