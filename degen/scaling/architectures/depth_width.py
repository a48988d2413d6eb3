"""Depth against width: whether deeper, narrower models are better at equal cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.metrics.columns import first_column
from degen.scaling.points import Points
from degen.scaling.quantities import LAYERS, WIDTH
from degen.stats.quantiles import two_sided
from degen.tables import Row

from .columns import Cost, Quality

MIN_POINTS_QUADRATIC = 8  # points from which the curve of quality over cost may bend
MOST_SHARED = 0.9  # share of the variance of log aspect ratio that cost may explain: a variance inflation of 10
SAME_SHAPE = 0.01  # aspect ratios within so much of each other are one


@dataclass(frozen=True)
class Shapes:
    """The shapes of the models of a table.

    Attributes:
        aspect: d_model / layers of each row, NaN where unknown.
        layers: name of the column of layers.
        width: name of the column of d_model.
    """

    aspect: Floats
    layers: str
    width: str


def read_shapes(points: Points) -> Shapes | str:
    """Return the aspect ratio of each row, or why the table says nothing of it.

    Raises:
        DegenError: a column of shapes holds no numbers.
    """
    layers, width = first_column(points.table, LAYERS), first_column(points.table, WIDTH)
    if layers is None or width is None:
        missing = [names[0] for names, column in ((LAYERS, layers), (WIDTH, width)) if column is None]
        return f"no column {' and no column '.join(missing)}, so the table says nothing of shapes"
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
    """Return the effect of depth at equal cost, for each cost and quality.

    Formula: quality = a_architecture + b·log₁₀ C (+ b₂·log₁₀² C, from 8 points on) + c·log₁₀(d_model/layers), by least
    squares. `effect` is −c·log₁₀ 2: what quality gains, in its own unit, where the aspect ratio is halved and the cost
    stays, with a t-interval. Beside it the pairs of equal cost and architecture and different shape, and how many of
    them are better where they are deeper.

    Args:
        shapes: of `read_shapes`.
        costs: what is to be equal.
        qualities: what may differ.
        architectures: label of each row, as a shape is not all that tells architectures apart; None for one.
        equal: costs are equal where the larger is at most 1 + `equal` times the smaller.
        confidence: of the interval.

    Returns:
        A row for each cost and quality. `verdict`: `deeper is better`, `wider is better`, `no difference shown`, or
        `cannot tell` with the reason.

    Raises:
        DegenError: `equal` is not positive.

    Source: Tay et al. 2021, Scale Efficiently, arXiv 2109.10686 (DeepNarrow).
    """
    if not (math.isfinite(equal) and equal > 0):
        raise DegenError(f"--equal-cost {equal:.0%}: a positive share, as in 10%")
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
    aspect, price = np.log10(shapes.aspect[known]), np.log10(cost.values[known])
    deeper = _pairs(aspect, price, quality.good[known], labels[known], math.log10(1 + equal))
    row |= {"points": int(known.sum()), "pairs": len(deeper), "deeper_better": sum(sign > 0 for sign in deeper)}
    design, fit = _design(aspect, price, labels[known])
    obstacle = _obstacle(aspect, design, len(deeper), cost.name, equal)
    if obstacle is not None:
        return row | {"reason": obstacle}
    slope, error = _last_slope(design, quality.values[known])
    effect, reach = -slope * math.log10(2), two_sided(confidence, _freedom(design)) * error * math.log10(2)
    low, high = effect - reach, effect + reach
    gain = (low, high) if quality.better == "max" else (-high, -low)
    verdict = "deeper is better" if gain[0] > 0 else "wider is better" if gain[1] < 0 else "no difference shown"
    row |= {"effect": effect, "effect_low": low, "effect_high": high, "fit": fit, "verdict": verdict}
    return row | {"reason": _reason(verdict, deeper)}


def _pairs(aspect: Floats, price: Floats, good: Floats, labels: Floats, within: float) -> list[int]:
    """Return for each pair of equal cost and other shape whether the deeper is better (1), worse (−1), equal (0)."""
    found = []
    for i in range(len(aspect) - 1):
        rest = slice(i + 1, None)
        near = (np.abs(price[rest] - price[i]) <= within * (1 + 1e-9)) & (labels[rest] == labels[i])
        near &= np.abs(aspect[rest] - aspect[i]) > math.log10(1 + SAME_SHAPE)
        for j in np.flatnonzero(near) + i + 1:
            found.append(int(np.sign(good[i] - good[j]) * np.sign(aspect[j] - aspect[i])))
    return found


def _design(aspect: Floats, price: Floats, labels: Floats) -> tuple[Floats, str]:
    """Return the columns of the regression, log aspect ratio last, and how they read."""
    groups = list(dict.fromkeys(labels.tolist()))
    columns = [(labels == group).astype(np.float64) for group in groups]
    terms = ["architecture"] if len(groups) > 1 else []
    middle = price - price.mean() if len(price) else price
    if len(price) and np.ptp(price) > 1e-9:  # at one and the same cost there is nothing to account for
        columns.append(middle)
        terms.append("log cost")
    if len(price) >= MIN_POINTS_QUADRATIC + len(groups) - 1 and len(np.unique(price)) > 3:
        columns.append(middle**2)
        terms.append("log² cost")
    return np.stack([*columns, aspect], axis=1), " + ".join([*terms, "log aspect ratio"])


def _freedom(design: Floats) -> int:
    return len(design) - int(np.linalg.matrix_rank(design))


def _obstacle(aspect: Floats, design: Floats, pairs: int, cost: str, equal: float) -> str | None:
    """Return why nothing can be said of shapes; None where something can."""
    if len(aspect) < 2 or np.ptp(aspect) <= math.log10(1 + SAME_SHAPE):
        return f"{len(aspect)} points with a shape, all of one aspect ratio" if len(aspect) else "no point has a shape"
    if not pairs:
        return f"no two models of different shape have {cost} within {equal:.0%} of each other"
    if _freedom(design) < 2:
        return f"{len(design)} points are too few for a regression with {design.shape[1]} unknowns; add 2 more at least"
    others = design[:, :-1]
    rest = aspect - others @ np.linalg.lstsq(others, aspect, rcond=None)[0]
    shared = 1 - float(rest @ rest) / float(((aspect - aspect.mean()) ** 2).sum())
    if shared > MOST_SHARED:
        return f"{cost} explains {shared:.0%} of the differences in aspect ratio: their effects cannot be parted"
    return None


def _last_slope(design: Floats, values: Floats) -> tuple[float, float]:
    """Return the coefficient of the last column and its standard error."""
    solution, _, _, _ = np.linalg.lstsq(design, values, rcond=None)
    rest = values - design @ solution
    inverse = np.linalg.pinv(design.T @ design)
    return float(solution[-1]), math.sqrt(float(rest @ rest) / _freedom(design) * float(inverse[-1, -1]))


def _reason(verdict: str, deeper: Sequence[int]) -> str | None:
    """Return where pairs and regression say different things."""
    better, worse = sum(sign > 0 for sign in deeper), sum(sign < 0 for sign in deeper)
    if (verdict == "deeper is better" and better < worse) or (verdict == "wider is better" and better > worse):
        return f"but of {len(deeper)} pairs of equal cost the deeper is better in {better}, worse in {worse}"
    return None
