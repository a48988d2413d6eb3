"""Weights that were never trained, and a step 0 that is another initialisation than the run descends from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from degen.arrays import Floats

from .evidence import Facts, Finding
from .thresholds import EARLY, NEAR_INITIAL, RELATED, UNRELATED


def is_initial(constant: bool | None, spreads: Mapping[str, float], initial_spread: float | None) -> bool:
    """Return whether weights look as they do before training.

    They do where every norm and bias read is still 1 or 0 throughout, and most matrices have the standard deviation
    that the configuration draws them with.

    Args:
        constant: whether every tensor of one dimension is all ones or all zeros; None where there is none.
        spreads: standard deviation of what was read of each matrix.
        initial_spread: of the configuration; None where it names none.
    """
    if not constant or initial_spread is None or not spreads:
        return False
    near = [abs(spread / initial_spread - 1) <= NEAR_INITIAL for spread in spreads.values()]
    return sum(near) > len(near) / 2


def initial_findings(stepped: Sequence[Facts], others: Sequence[Facts]) -> dict[str, Finding]:
    """Return the revisions that are still at their initialisation where training should have moved them.

    The first steps may look so, as long as none before them does not.

    Args:
        stepped: revisions that are steps, in their order.
        others: revisions whose names are no steps.
    """
    last = max((f.step or 0 for f in stepped), default=0)
    reason = (
        "every norm and bias is 1 or 0 throughout and the matrices spread as at their initialisation: these are random "
        "weights, as a loader fills in what it does not find"
    )
    moved = False
    found: dict[str, Finding] = {}
    for f in stepped:
        if f.initial and f.step and (moved or f.step > EARLY * last):
            found[f.revision] = ("untrained", reason)
        moved = moved or not f.initial
    return found | {f.revision: ("untrained", reason) for f in others if f.initial}


def foreign_start(stepped: Sequence[Facts], faulty: Collection[str]) -> dict[str, Finding]:
    """Return step 0 with a reason where it is another initialisation than the run descends from.

    With r the rank correlation of weights: r(step 0, a) is about 0 and r(a, b) is not, for a the first step after it
    and b the first that is twice as far, a early. Weights that keep little of what they were at a by b, after as long
    again, tell nothing; those that keep most of it kept some of step 0.

    Args:
        stepped: revisions that are steps, in their order.
        faulty: names of those that are known to be wrong.
    """
    sound = [f for f in stepped if f.revision not in faulty and f.samples and f.stage == stepped[0].stage]
    if len(sound) < 3 or sound[0].step != 0:
        return {}
    start, after = sound[0], sound[1]
    later = next((f for f in sound[2:] if (f.step or 0) >= 2 * (after.step or 0)), None)
    if later is None or (after.step or 0) > EARLY * (sound[-1].step or 0):
        return {}
    kept, carried = _correlation(start, after), _correlation(after, later)
    if kept is None or carried is None or not (abs(kept) < UNRELATED and carried > RELATED):
        return {}
    return {
        start.revision: (
            "other_initialisation",
            f"its weights have nothing to do with those of {after.revision} (correlation {kept:.2f}), while "
            f"{after.revision} and {later.revision} are one run ({carried:.2f}): the run descends from another one",
        )
    }


def _correlation(one: Facts, other: Facts) -> float | None:
    """Return the rank correlation of the values that two revisions have at the same positions; None without any.

    Ranks, as a few norms of 1 among many small weights would correlate by themselves.
    """
    from scipy.stats import spearmanr

    pairs = [(one.samples[s], other.samples[s]) for s in sorted(one.samples.keys() & other.samples.keys())]
    pairs = [(a, b) for a, b in pairs if a.size == b.size and a.size]
    if not pairs:
        return None
    x, y = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
    finite: Floats = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if x.size < MIN_VALUES or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(spearmanr(x, y).statistic)


MIN_VALUES = 1000  # of fewer a correlation of unrelated values reaches UNRELATED by chance
