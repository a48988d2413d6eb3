"""Savings at equal quality: for every model the cheapest other model that is as good."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from degen.arrays import Floats
from degen.tables import Row

from .columns import Cost, Quality

LIKELY = 0.5  # probability of being as good from which a model counts as it, where the table has standard errors


def find_savings(
    names: Sequence[str], costs: Sequence[Cost], upstream: Quality | None, downstream: Sequence[Quality]
) -> list[Row]:
    """Return for every model and cost the cheapest other model that is as good.

    A model is as good as another where it is no worse on at least half of the downstream qualities that both have, or
    in upstream quality where there are none. With standard errors, `probability` is that of being as good: of a single
    quality Φ((q' − q)/√(s² + s'²)), q' of the cheaper one and higher better; of several the Poisson-binomial chance
    that at least half are no worse, errors of different qualities independent. A model then counts as as good from one
    half on.

    Args:
        names: of the models.
        costs: columns of cost.
        upstream: upstream quality; None without one.
        downstream: downstream qualities.

    Returns:
        A row for each cost and each model that another one saves something on: `model`, `cheaper`, `cost`, `share` (of
        the model's cost that the cheaper one takes), the shares of all costs as `shares`, `upstream_gain` (in the
        quality's unit, higher better), `better_on` and `of`, the numbers of downstream qualities, `probability`.
    """
    judged = list(downstream) or ([upstream] if upstream is not None else [])
    rows: list[Row] = []
    for cost in costs:
        for model in range(len(names)):
            others = np.flatnonzero(np.isfinite(cost.values) & (cost.values < cost.values[model]))
            for other in others[np.argsort(cost.values[others], kind="stable")]:
                as_good, probability = _compare(judged, model, int(other))
                if as_good:
                    rows.append(_row(names, costs, cost, upstream, downstream, model, int(other), probability))
                    break
    return rows


def _compare(qualities: Sequence[Quality], model: int, other: int) -> tuple[bool, float | None]:
    """Return whether the other model is as good, and how probable that is; None where errors are unknown."""
    chances, certain = [], []
    for quality in qualities:
        difference = quality.good[other] - quality.good[model]
        if not np.isfinite(difference):
            continue
        certain.append(difference >= 0)
        error = math.nan if quality.errors is None else math.hypot(quality.errors[other], quality.errors[model])
        chances.append(_no_worse(float(difference), error))
    if not certain:
        return False, None
    needed = math.ceil(len(certain) / 2)
    if any(math.isnan(chance) for chance in chances):
        return sum(certain) >= needed, None
    probability = _at_least(np.asarray(chances), needed)
    return probability >= LIKELY, probability


def _no_worse(difference: float, error: float) -> float:
    """Return the probability that a true difference is not negative; NaN where its error is unknown."""
    from scipy.special import ndtr

    if error == 0:
        return float(difference >= 0)
    return math.nan if math.isnan(error) else float(ndtr(difference / error))


def _at_least(chances: Floats, needed: int) -> float:
    """Return the probability that at least `needed` of independent events happen (Poisson-binomial)."""
    counts = np.ones(1)
    for chance in chances:
        counts = np.convolve(counts, [1 - chance, chance])
    return float(counts[needed:].sum())


def _row(
    names: Sequence[str],
    costs: Sequence[Cost],
    cost: Cost,
    upstream: Quality | None,
    downstream: Sequence[Quality],
    model: int,
    other: int,
    probability: float | None,
) -> Row:
    differences = [quality.good[other] - quality.good[model] for quality in downstream]
    known = [difference for difference in differences if np.isfinite(difference)]
    gain = upstream.good[other] - upstream.good[model] if upstream is not None else math.nan
    shares = {c.name: float(c.values[other] / c.values[model]) for c in costs if c.values[model] > 0}
    return {
        "model": names[model],
        "cost": cost.name,
        "cheaper": names[other],
        "share": float(cost.values[other] / cost.values[model]),
        "shares": {name: share for name, share in shares.items() if math.isfinite(share)},
        "upstream_gain": float(gain) if math.isfinite(gain) else None,
        "better_on": sum(bool(difference > 0) for difference in known) if downstream else None,
        "of": len(known) if downstream else None,
        "probability": probability,
    }
