"""Depth against width: are deeper, narrower models better at equal cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.scaling.column_names import column_of
from degen.scaling.points import Points
from degen.scaling.quantities import LAYERS, WIDTH
from degen.stats.multiple_regression import MAX_SHARED, MIN_FREEDOM, explained_share, regress
from degen.tables import Row

from .columns import Cost, Quality

MIN_POINTS_QUADRATIC = 8  # from this many on, quality over cost has a quadratic term
SAME_SHAPE = 0.01  # aspect ratios within this share of each other count as equal


@dataclass(frozen=True)
class Shapes:
    """The shapes of the models in a table.

    Attributes:
        aspect: aspect ratio d_model / layers of each row, NaN where unknown.
        layers: name of the column of layers.
        width: name of the column of d_model.
    """

    aspect: Floats
    layers: str
    width: str


def read_shapes(points: Points) -> Shapes | str:
    """Return the aspect ratio of each row; or, as a text, the reason why the table has none.

    Raises:
        DegenError: the column of layers or of width holds values that are no numbers.
    """
    names = points.table.column_names
    layers, width = column_of(LAYERS, names), column_of(WIDTH, names)
    if layers is None or width is None:
        missing = [names[0] for names, column in ((LAYERS, layers), (WIDTH, width)) if column is None]
        return f"no column {' and no column '.join(missing)}, so the shapes of the models are unknown"
    depth, dims = points.numbers(layers), points.numbers(width)
    known = np.isfinite(depth) & np.isfinite(dims) & (depth > 0) & (dims > 0)
    return Shapes(np.where(known, dims / np.where(known, depth, 1), np.nan), layers, width)


def compare_shapes(
    shapes: Shapes | str,
    costs: Sequence[Cost],
    qualities: Sequence[Quality],
    architectures: Sequence[str] | None,
    equal: float = 0.1,
    confidence: float = 0.9,
) -> list[Row]:
    """Estimate the effect of depth at equal cost, for each cost and quality.

    Formula: quality = a_architecture + b·log₁₀ C (+ b₂·log₁₀² C, from 8 points on) + c·log₁₀(d_model/layers), by least
    squares. `effect` is −c·log₁₀ 2, the change of quality in its unit when the aspect ratio is halved at equal cost,
    with a t-interval. `pairs` counts pairs of models of equal cost and architecture and different shape,
    `deeper_better` those of them in which the deeper model is better.

    Args:
        shapes: of `read_shapes`.
        costs: columns of cost.
        qualities: columns of quality.
        architectures: label of each row, so that only models of one architecture are compared; None for one
            architecture.
        equal: two costs count as equal up to a ratio of 1 + `equal`.
        confidence: of the interval.

    Returns:
        A row for each cost and quality. `verdict`: `deeper is better`, `wider is better`, `no difference shown`, or
        `cannot tell` with the reason.

    Raises:
        DegenError: `equal` is not positive.

    Source: Tay et al. 2021, Scale Efficiently, arXiv 2109.10686 (DeepNarrow).
    """
    if not (math.isfinite(equal) and equal > 0):
        raise DegenError(f"--equal-cost {equal:.0%}: must be above 0, as 10%")
    labels = np.array(architectures if architectures is not None else [""] * len(qualities[0].values), dtype=object)
    if not costs:
        return [_blank(None, quality) | {"reason": "no column of cost"} for quality in qualities]
    return [_compare(shapes, cost, quality, labels, equal, confidence) for cost in costs for quality in qualities]


def _blank(cost: str | None, quality: Quality) -> Row:
    row: Row = {"cost": cost, "quality": quality.name, "better": quality.better, "verdict": "cannot tell"}
    return row | dict.fromkeys(
        ("effect", "effect_low", "effect_high", "points", "pairs", "deeper_better", "fit", "reason")
    )


def _compare(
    shapes: Shapes | str, cost: Cost, quality: Quality, labels: Floats, equal: float, confidence: float
) -> Row:
    row = _blank(cost.name, quality)
    if isinstance(shapes, str):
        return row | {"reason": shapes}
    known = np.isfinite(shapes.aspect) & np.isfinite(cost.values) & (cost.values > 0) & np.isfinite(quality.values)
    aspect, log_cost = np.log10(shapes.aspect[known]), np.log10(cost.values[known])
    signs = _pair_signs(aspect, log_cost, quality.good[known], labels[known], math.log10(1 + equal))
    row |= {"points": int(known.sum()), "pairs": len(signs), "deeper_better": sum(sign > 0 for sign in signs)}
    design, fit = _design(aspect, log_cost, labels[known])
    obstacle = _obstacle(aspect, design, len(signs), cost.name, equal)
    if obstacle is not None:
        return row | {"reason": obstacle}
    regression, last = regress(design, quality.values[known]), design.shape[1] - 1
    ends = [-end * math.log10(2) for end in regression.interval(last, confidence)]
    effect, (high, low) = -float(regression.coefficients[last]) * math.log10(2), ends
    gain = (low, high) if quality.better == "max" else (-high, -low)
    verdict = "deeper is better" if gain[0] > 0 else "wider is better" if gain[1] < 0 else "no difference shown"
    row |= {"effect": effect, "effect_low": low, "effect_high": high, "fit": fit, "verdict": verdict}
    return row | {"reason": _contradiction(verdict, signs)}


def _pair_signs(aspect: Floats, log_cost: Floats, good: Floats, labels: Floats, within: float) -> list[int]:
    """Return a number for each pair of models of equal cost, one architecture and different shape.

    It is 1 if the deeper model is better, −1 if it is worse, 0 if both are equal.
    """
    signs = []
    for i in range(len(aspect) - 1):
        rest = slice(i + 1, None)
        comparable = (np.abs(log_cost[rest] - log_cost[i]) <= within * (1 + 1e-9)) & (labels[rest] == labels[i])
        comparable &= np.abs(aspect[rest] - aspect[i]) > math.log10(1 + SAME_SHAPE)
        for j in np.flatnonzero(comparable) + i + 1:
            signs.append(int(np.sign(good[i] - good[j]) * np.sign(aspect[j] - aspect[i])))
    return signs


def _design(aspect: Floats, log_cost: Floats, labels: Floats) -> tuple[Floats, str]:
    """Return the design matrix of the regression, with log aspect ratio as its last column, and its terms as text."""
    groups = list(dict.fromkeys(labels.tolist()))
    columns = [(labels == group).astype(np.float64) for group in groups]
    terms = ["architecture"] if len(groups) > 1 else []
    centred = log_cost - log_cost.mean() if len(log_cost) else log_cost
    if len(log_cost) and np.ptp(log_cost) > 1e-9:  # with a single cost there is nothing to account for
        columns.append(centred)
        terms.append("log cost")
    if len(log_cost) >= MIN_POINTS_QUADRATIC + len(groups) - 1 and len(np.unique(log_cost)) > 3:
        columns.append(centred**2)
        terms.append("log² cost")
    return np.stack([*columns, aspect], axis=1), " + ".join([*terms, "log aspect ratio"])


def _obstacle(aspect: Floats, design: Floats, pairs: int, cost: str, equal: float) -> str | None:
    """Return why the effect of depth cannot be estimated; None where it can."""
    if len(aspect) < 2 or np.ptp(aspect) <= math.log10(1 + SAME_SHAPE):
        return f"all {len(aspect)} points have the same aspect ratio" if len(aspect) else "no point has a known shape"
    if not pairs:
        return f"no two models of different shape have {cost} within {equal:.0%} of each other"
    if len(design) - int(np.linalg.matrix_rank(design)) < MIN_FREEDOM:
        return f"{len(design)} points are too few for a regression with {design.shape[1]} unknowns; add at least 2 more"
    shared = explained_share(design, design.shape[1] - 1)
    if shared > MAX_SHARED:
        return f"{cost} explains {shared:.0%} of the differences in aspect ratio, so their effects cannot be separated"
    return None


def _contradiction(verdict: str, signs: Sequence[int]) -> str | None:
    """Return a phrase that says so where most pairs contradict the regression; None where they do not.

    Args:
        verdict: of the regression.
        signs: for each pair, see `_pair_signs`.
    """
    better, worse = sum(sign > 0 for sign in signs), sum(sign < 0 for sign in signs)
    if (verdict == "deeper is better" and better < worse) or (verdict == "wider is better" and better > worse):
        return f"but of {len(signs)} pairs of equal cost the deeper model is better in {better}, worse in {worse}"
    return None
