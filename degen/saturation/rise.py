"""The test for a rise after the best, with evidence that no single checkpoint can give."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from degen.arrays import Floats, Ints
from degen.stats.window_contrasts import (
    final_contrasts,
    highest_contrasts,
    lowest_window,
    mean_variance,
    without_each,
)

from .evidence import FEW, Contrasts, evidence_of, evidence_unit
from .noise import LEAST_CHECKPOINTS, find_scatter, first_near, local_deviation, measurable_start, rounding, straying
from .null_quantiles import Kind, critical_evidence, p_value

ERRORS_COUNT_BELOW = 8  # checkpoints: with fewer, stated errors are needed to tell a rise from noise
NEAR = 3.0  # deviations from its best, within which a metric is tested
NEAR_FOR = 10  # checkpoints, from which on only those near the best are tested, of any metric
PLAIN_FALL = 6.0  # deviations, by which a metric fell without doubt
NEAR_AFTER_FALL = 2.0  # as above, of a metric of few checkpoints that fell
LATEST = 3  # checkpoints at the end, whose mean must stay above the bottom
NOT_UNUSUAL = 0.15  # p-value, from which on a rise that came back may well be noise
LEAST_NEAR = 8  # tested values of many checkpoints, from which on their own scatter counts, too, where it is larger
DOUBTED = 2.0  # levels, at which one of few checkpoints makes a rise that is in doubt
MOST_SUPPORT = 10  # checkpoints that are left out one by one


@dataclass(frozen=True)
class Rise:
    """The result of the test on a curve whose values are the larger the worse.

    Attributes:
        noise: standard deviation of a value.
        correlation: of neighbouring residuals; 0 where the noise is known.
        p_value: how often noise on a plateau gives as much evidence that it rose to the end, whichever checkpoint is
            left out; with fewer than 16 the most important one adds to it.
        p_without: the same without the checkpoint that matters most.
        p_hump: the same of a rise anywhere, which may have come back; 1 where the other p-value is below the
            level.
        support: how many checkpoints must be left out until the rise is not seen; None where it is not seen.
        support_of_hump: the same of a rise anywhere; None where it need not be known.
        carrier: index of the checkpoint that decides whether it is seen, where there is one.
        level: mean of the last three values less the bottom, in standard errors of that difference.
        measurable: index from which on the metric falls slowly enough to show its noise.
        start: index of the first tested value.
        peak: index at which the strongest rise ends.
        strays: indices of values that stray alone, which are left out.
    """

    noise: float
    correlation: float
    p_value: float
    p_without: float
    p_hump: float
    support: int | None
    support_of_hump: int | None
    carrier: int | None
    level: float
    measurable: int
    start: int
    peak: int
    strays: Ints


def find_rise(
    steps: Ints,
    values: Floats,
    floor: float,
    error: float | None = None,
    level: float = 0.05,
    *,
    keep_strays: bool = False,
) -> Rise | None:
    """Test whether a curve rose after its best.

    Formula: T = max (mean of the last m − mean of w neighbours before them)/(s·√(v_m + v_w)), over both lengths and
    all places of the earlier window (`final_contrasts`), among the values from the first one near the best on: within
    3 deviations and the floor, within 2 deviations of a metric of fewer than 16 that fell by more than 6; all of
    fewer than 10 that did not. The evidence is the least T with each checkpoint left out in turn: no single one can
    give it, and of fewer than 16 one may add to it (`evidence_of`), but only so much. Its unit is s·exp(0.3·r), 0.6
    for 0.3 of fewer than 16, r the correlation of neighbouring residuals (`evidence_unit`); of 16 or more times
    √(s₁/s) where s₁, the scatter of those tested, is larger. s is the scatter about a smooth fall and rise
    (`find_scatter`) of the values within 20 deviations of the best; those that stray alone from their neighbours are
    left out. Where fewer than 8 values are left and a standard error is known, s is that. The p-value is that of a
    plateau whose neighbours correlate by 0.5, of 11 to 15 checkpoints by 0.45 and from 32 on by 0.55 (`p_value`): of
    all curves that never rise the plateau rises most by chance.

    Args:
        steps: ascending, n of them.
        values: the metric at each, all finite, the larger the worse.
        floor: the rise that matters, in the metric's unit.
        error: the standard error of a value in a comparison with another; None where unknown.
        level: of the test, which `support` and `p_hump` refer to.
        keep_strays: test the values that stray alone, too.

    Returns:
        The result; None with fewer than 5 values, or 3 with a standard error.

    Source: Andrews and Soares 2010 (what lies far above the best left out); Phipson and Smyth 2010 (p-values of draws).
    """
    part = _tested_part(steps.astype(np.float64), values, floor, error, keep_strays)
    if part is None:
        return None
    row = values[part.tested]
    size = len(row) if part.known else part.checkpoints, len(row)
    to_the_end = _rise_to_the_end(row, part, size, level)
    kind: Kind = "known highest" if part.known else "highest"
    unseen = to_the_end.p_value >= level
    p_hump, support_of_hump = _hump(row, part.unit, size, level, kind) if unseen else (1.0, None)
    return Rise(
        noise=part.noise,
        correlation=part.correlation,
        p_value=to_the_end.p_value,
        p_without=to_the_end.p_without,
        p_hump=p_hump,
        support=to_the_end.support,
        support_of_hump=support_of_hump,
        carrier=to_the_end.carrier,
        level=_level(row, part.noise),
        measurable=part.measurable,
        start=int(part.tested[0]),
        peak=int(part.tested[highest_contrasts(row[None])[1][0]]),
        strays=part.strays,
    )


class _ToTheEnd(NamedTuple):
    """Whether a curve rose to its end; the attributes are those of `Rise`."""

    p_value: float
    p_without: float
    support: int | None
    carrier: int | None


def _rise_to_the_end(row: Floats, part: _Part, size: tuple[int, int], level: float) -> _ToTheEnd:
    """Return the p-value of a rise to the end, its support, and the checkpoint that decides."""
    kind: Kind = "known final" if part.known else "final"
    few = part.checkpoints < FEW and not part.known
    measure: Contrasts = partial(evidence_of, few=True) if few else final_contrasts
    evidence, without = float(evidence_of(row[None], few=few)[0]) / part.unit, measure(without_each(row)) / part.unit
    critical = critical_evidence(level, kind, *size)
    least = critical_evidence(min(DOUBTED * level, 1.0), kind, *size) if few else critical
    seen = float(final_contrasts(row[None])[0]) >= least * part.unit
    support = _support(row, critical * part.unit, measure) if seen else None
    carrier = _carrier(part.tested, without, support, critical)
    return _ToTheEnd(p_value(evidence, kind, *size), p_value(float(without.min()), kind, *size), support, carrier)


def _carrier(tested: Ints, without: Floats, support: int | None, critical: float) -> int | None:
    """Return the index of the checkpoint that makes a rise, or hides one; None where none does.

    Args:
        tested: indices of the tested values.
        without: evidence with each of them left out.
        support: of the rise; None where none is seen.
        critical: evidence from which on a rise is seen.
    """
    if support == 1:
        return int(tested[np.argmin(without)])
    return int(tested[np.argmax(without)]) if support is None and without.max() >= critical else None


@dataclass(frozen=True)
class _Part:
    """The part of a curve that is tested.

    Attributes:
        tested: indices of its values.
        measurable: index from which on it falls slowly enough to show its noise.
        checkpoints: whose scatter gives the noise.
        noise: standard deviation of a value.
        correlation: of neighbouring residuals; 0 where the noise is known.
        unit: of the evidence; the noise, increased where residuals correlate.
        known: whether the noise is a stated error.
        strays: indices of the values left out.
    """

    tested: Ints
    measurable: int
    checkpoints: int
    noise: float
    correlation: float
    unit: float
    known: bool
    strays: Ints


def _tested_part(steps: Floats, values: Floats, floor: float, error: float | None, keep_strays: bool) -> _Part | None:
    """Return the part of a curve that is tested; None where nothing shows its noise."""
    stray = straying(steps, values) & (not keep_strays)
    kept = np.flatnonzero(~stray)
    start = 0
    if len(kept) >= LEAST_CHECKPOINTS:
        start = int(kept[measurable_start(steps[kept], values[kept], floor)])
    kept = kept[kept >= start]
    scatter = find_scatter(steps[kept], values[kept])
    known = error is not None and len(kept) < ERRORS_COUNT_BELOW
    if scatter is None and not known:
        return None
    noise = unit = max(scatter.deviation if scatter is not None else 0.0, rounding(values))
    if error is not None and known:
        noise = unit = max(error, rounding(values))
    elif scatter is not None:
        unit = max(evidence_unit(scatter, len(kept)), rounding(values))
    tested = kept[min(_first_tested(values[kept], noise, floor), max(0, len(kept) - LEAST_CHECKPOINTS)) :]
    if not known and len(kept) >= FEW and LEAST_NEAR <= len(tested) < len(kept):
        near = find_scatter(steps[tested], values[tested])  # larger where noise grows
        unit *= math.sqrt(max(1.0, near.deviation / noise)) if near is not None else 1.0
    correlation = 0.0 if known or scatter is None else scatter.correlation
    return _Part(tested, start, len(kept), noise, correlation, unit, known, np.flatnonzero(stray))


def _first_tested(values: Floats, noise: float, floor: float) -> int:
    """Return the index of the first value near the best; 0 of few values that did not plainly fall."""
    lowest = float(np.sort(values)[:2].mean())
    if float(values[:2].mean()) - lowest > PLAIN_FALL * noise:
        return first_near(values, (NEAR_AFTER_FALL if len(values) < FEW else NEAR) * noise)
    return first_near(values, max(floor, NEAR * noise)) if len(values) >= NEAR_FOR else 0


def _hump(
    row: Floats, unit: float, size: tuple[int, int], level: float, kind: Kind = "highest"
) -> tuple[float, int | None]:
    """Return the p-value of a rise anywhere, and its support, None where it is above the level."""
    whole = p_value(float(_highest(row[None])[0]) / unit, kind, *size)
    if whole >= max(level, NOT_UNUSUAL):
        return whole, None
    probability = p_value(float(_highest(without_each(row)).min()) / unit, kind, *size)
    if probability >= level:
        return probability, None
    return probability, _support(row, critical_evidence(level, kind, *size) * unit, _highest)


def _highest(rows: Floats) -> Floats:
    return highest_contrasts(rows)[0]


def _support(row: Floats, critical: float, contrasts_of: Contrasts) -> int:
    """Return how many values must be left out, each time the one that matters most, until no rise is seen."""
    for support in range(1, MOST_SUPPORT):
        if len(row) <= 3:
            return support
        rest = without_each(row)
        contrasts = contrasts_of(rest)
        least = int(np.argmin(contrasts))
        if contrasts[least] < critical:
            return support
        row = rest[least]
    return MOST_SUPPORT


def _level(row: Floats, noise: float) -> float:
    """Return the mean of the last three values less that of the lowest window, in standard errors."""
    bottom = lowest_window(row)
    last = max(1, min(LATEST, len(row) - bottom.stop))
    variance = mean_variance(last) + mean_variance(bottom.stop - bottom.start)
    return float(row[-last:].mean() - row[bottom].mean()) / (noise * math.sqrt(variance))


def rose_before(steps: Ints, values: Floats, noise: float, level: float) -> bool:
    """Return whether a curve rose anywhere by more than noise, in the middle of its fall too, whatever came after.

    Args:
        steps: ascending, n of them; False with fewer than 5.
        values: at each, the larger the worse.
        noise: standard deviation of a value near the best; where neighbours scatter by more all over, that counts.
        level: of the test.
    """
    if len(values) < LEAST_CHECKPOINTS:
        return False
    unit = max(noise, local_deviation(steps.astype(np.float64), values))
    size = len(values), len(values)
    return _hump(values, unit, size, level)[0] < level
