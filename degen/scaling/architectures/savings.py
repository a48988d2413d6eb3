"""Savings at equal quality: for every model the cheapest other model that is as good."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from degen.arrays import Floats, Ints, Mask
from degen.stats.multiple_regression import regress
from degen.tables import Row

from .columns import Cost, Quality

LIKELY = 0.5  # probability of being as good from which a model counts as it, where the table has standard errors
MIN_SHRUNK = 8  # models with errors from which values are drawn towards what models of their cost have
MAX_MODELS = 5_000


def find_savings(
    names: Sequence[str], costs: Sequence[Cost], upstream: Quality | None, downstream: Sequence[Quality]
) -> list[Row]:
    """Return for every model and cost the cheapest other model that is as good.

    A model is as good as another where it is no worse on at least half of the downstream qualities that both have, or
    in upstream quality where there are none. With standard errors, `probability` is that of being as good: of a single
    quality Φ((μ' − μ)/√(v + v')), μ' of the cheaper one and higher better; of several the Poisson-binomial chance that
    at least half are no worse, errors of different qualities independent. A model then counts as as good from one half
    on. The cheapest of many that look as good is likely a lucky one, so from 8 models on μ and v are those of a normal
    prior (empirical Bayes, Efron and Morris 1973): values are drawn towards their parabola over ln cost as far as
    errors explain how they scatter around it.

    Args:
        names: of the models.
        costs: columns of cost.
        upstream: upstream quality; None without one.
        downstream: downstream qualities.

    Returns:
        A row for each cost and each model that another one saves something on: `model`, `cheaper`, `cost`, `share` (of
        the model's cost that the cheaper one takes), the shares of all costs as `shares`, `upstream_gain` (in the
        quality's unit, higher better), `better_on` and `of`, the numbers of downstream qualities, `probability`.
        None for more than 5,000 models.
    """
    judged = list(downstream) or ([upstream] if upstream is not None else [])
    if len(names) > MAX_MODELS or not judged:
        return []
    rows: list[Row] = []
    for cost in costs:
        good, variance = _posterior(judged, cost)
        for model in range(len(names)):
            others = np.flatnonzero(np.isfinite(cost.values) & (cost.values < cost.values[model]))
            others = others[np.argsort(cost.values[others], kind="stable")]
            as_good, probability = _as_good(good, variance, model, others)
            if as_good.any():
                first = int(np.argmax(as_good))
                chance = None if math.isnan(probability[first]) else float(probability[first])
                rows.append(_row(names, costs, cost, upstream, downstream, model, int(others[first]), chance))
    return rows


def _posterior(qualities: Sequence[Quality], cost: Cost) -> tuple[Floats, Floats]:
    """Return mean and variance of the true qualities, models × qualities, higher better; NaN without an error."""
    good = np.stack([quality.good for quality in qualities], axis=1)
    errors = [q.errors if q.errors is not None else np.full(len(good), np.nan) for q in qualities]
    variance = np.stack(errors, axis=1) ** 2
    for column in range(good.shape[1]):
        known = np.isfinite(good[:, column]) & np.isfinite(variance[:, column])
        known &= np.isfinite(cost.values) & (cost.values > 0)
        if int(known.sum()) >= MIN_SHRUNK:
            drawn = _drawn_towards(good[known, column], variance[known, column], np.log(cost.values[known]))
            good[known, column], variance[known, column] = drawn
    return good, variance


def _drawn_towards(values: Floats, variance: Floats, log_cost: Floats) -> tuple[Floats, Floats]:
    """Return mean and variance of true values under a normal prior around their parabola over ln cost.

    Formula: τ² = max(0, RSS/freedom − mean s²); b = τ²/(τ² + s²); mean m + b·(q − m), variance b·s² + (1 − b)²·h·(τ² +
    s²), h the leverage of the model on the parabola m.
    """
    centred = (log_cost - log_cost.mean()) / (float(log_cost.std()) or 1.0)
    design = np.column_stack([np.ones(len(values)), centred, centred**2])
    line = regress(design, values)
    if line.freedom < 1:
        return values, variance
    spread = max(0.0, line.variance - float(variance.mean()))
    own = spread / np.maximum(spread + variance, np.finfo(float).tiny)
    leverage = np.einsum("ij,jk,ik->i", design, line.inverse, design)
    middle = values - line.residuals
    around = own * variance + (1 - own) ** 2 * leverage * (spread + variance)
    return middle + own * (values - middle), around


def _as_good(good: Floats, variance: Floats, model: int, others: Ints) -> tuple[Mask, Floats]:
    """Return which of the other models are as good, and how probable that is; NaN where an error is unknown."""
    from scipy.special import ndtr

    difference = good[others] - good[model]
    both = np.isfinite(difference)
    error = np.sqrt(variance[others] + variance[model])
    with np.errstate(divide="ignore", invalid="ignore"):
        chances = np.where(error > 0, ndtr(difference / error), difference >= 0)
    chances = np.where(np.isnan(error) & both, np.nan, chances)
    needed = np.ceil(both.sum(axis=1) / 2)
    certain = ((difference >= 0) & both).sum(axis=1) >= needed
    probability = np.array(
        [_at_least(row[known], int(count)) for row, known, count in zip(chances, both, needed, strict=True)]
    )
    as_good = np.where(np.isnan(probability), certain, probability >= LIKELY) & both.any(axis=1)
    return as_good, probability


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
