"""What each knob of a model's shape buys: elasticities at equal other knobs, at equal cost, and per cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats, Ints, Mask
from degen.scaling.quantities import quantity_of
from degen.stats.multiple_regression import MAX_SHARED, MIN_FREEDOM, Regression, explained_share, regress
from degen.stats.quantiles import two_sided
from degen.tables import Row

from .columns import Cost, Quality
from .knobs import Knob, varies

MIN_EFFECT = 1e-9  # an elasticity nearer to 0 is rounding
SIZES = ("parameters", "parameters_non_embedding")  # costs that training tokens do not add to
MIN_SHAPES_QUADRATIC = 8  # from this many on, quality over cost has a quadratic term
OTHER_KNOBS = "other knobs"
CANNOT_TELL, NOT_SHOWN = "cannot tell", "no difference shown"


@dataclass(frozen=True, eq=False)
class LogQuality:
    """A column of quality as natural logarithms, which elasticities are slopes of.

    Attributes:
        name: of the column.
        logs: ln of the value in each row, NaN where it is unknown or 0. Of values that are all negative, as of a
            negated loss, ln of their magnitude.
        sign: 1 where a larger magnitude is better, −1 where a smaller one is.
        reason: why it has no logarithms; None where it has.
    """

    name: str
    logs: Floats
    sign: int
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class KnobFit:
    """The regression of one quality on all knobs that vary.

    Attributes:
        quality: what is explained.
        knobs: the knobs that vary, in the order of their columns.
        rows: mask of the models that have all of them.
        shapes: for each of those models the index of its shape, a row of `design`.
        design: 1, the knobs' logarithms and those of training tokens where they vary; shape (shapes, columns). Models
            that are equal in all of these are one shape.
        logs: ln q of each shape, the mean over its models.
        regression: None where there are too few shapes.
        obstacles: why the effect of a knob cannot be told, by its name.
    """

    quality: LogQuality
    knobs: Sequence[Knob]
    rows: Mask
    shapes: Ints
    design: Floats
    logs: Floats
    regression: Regression | None
    obstacles: dict[str, str]

    def of_shapes(self, values: Floats) -> Floats:
        """Return the mean over the models of each shape of values that the whole table has."""
        means: Floats = np.bincount(self.shapes, values[self.rows]) / np.bincount(self.shapes)
        return means

    def column(self, knob: Knob) -> int:
        """Return the column of a knob in the design matrix."""
        return 1 + next(i for i, other in enumerate(self.knobs) if other.name == knob.name)


def log_quality(quality: Quality) -> LogQuality:
    """Return a column of quality as logarithms."""
    known, better = quality.values[np.isfinite(quality.values)], 1 if quality.better == "max" else -1
    if (known < 0).any() and (known > 0).any():
        reason = f"{quality.name} has values of both signs, and no elasticity"
        return LogQuality(quality.name, np.full(len(quality.values), np.nan), better, reason)
    magnitude = np.abs(quality.values)
    usable = np.isfinite(magnitude) & (magnitude > 0)
    negated = bool((known < 0).any())
    logs = np.where(usable, np.log(np.where(usable, magnitude, 1.0)), np.nan)
    return LogQuality(quality.name, logs, -better if negated else better)


def fit_knobs(quality: LogQuality, knobs: Sequence[Knob], tokens: Floats | None, among: Mask) -> KnobFit:
    """Return the regression of a quality on all knobs that vary.

    Formula: ln q = a + Σ_k e_k·ln x_k (+ e_D·ln D), by least squares. e_k is the elasticity of q at equal other knobs:
    the per cent by which q changes where x_k is 1 % larger.

    Args:
        quality: q.
        knobs: x_k, those that the table has.
        tokens: ln D of each model; None where the table has none.
        among: mask of the models to use.
    """
    rows = among & np.isfinite(quality.logs)
    varying = [knob for knob in knobs if varies(knob.logs[rows])]
    for knob in varying:
        rows = rows & np.isfinite(knob.logs)
    varying = [knob for knob in varying if varies(knob.logs[rows])]
    held = {knob.name: knob.logs for knob in varying}
    if (with_tokens := hold_tokens(tokens, rows)) is not None and tokens is not None:
        rows, held = with_tokens, held | {"tokens": tokens}
    shapes, means = shape_means([logs[rows] for logs in held.values()], quality.logs[rows])
    design = np.column_stack([np.ones(len(means)), *(_centred(column) for column in means.T[:-1])])
    logs = means[:, -1]
    names = list(held)
    obstacles = {knob.name: reason for knob in varying if (reason := _obstacle(design, names, knob.name)) is not None}
    enough = len(design) - int(np.linalg.matrix_rank(design)) >= MIN_FREEDOM
    regression = regress(design, logs) if enough and varying else None
    return KnobFit(quality, varying, rows, shapes, design, logs, regression, obstacles)


def hold_tokens(tokens: Floats | None, rows: Mask) -> Mask | None:
    """Return which of some models training tokens can be held equal of; None where they do not vary, or most have none.

    Args:
        tokens: ln D of each model, NaN where unknown; None where the table has none.
        rows: mask of the models.
    """
    if tokens is None or not varies(tokens[rows]):
        return None
    known = rows & np.isfinite(tokens)
    return known if 2 * int(known.sum()) > int(rows.sum()) else None


def shape_means(columns: Sequence[Floats], values: Floats) -> tuple[Ints, Floats]:
    """Return for each model the index of its shape, and the means of the columns and the values over each shape.

    Models that are equal in all columns are one shape: they say nothing of what another shape would do, however many
    they are. The means have shape (shapes, columns + 1), the values last.
    """
    if not len(values):
        return np.zeros(0, dtype=np.int64), np.zeros((0, len(columns) + 1))
    keys = np.stack([np.zeros(len(values)), *columns], axis=1)
    _, shapes = np.unique(np.round(keys, 9), axis=0, return_inverse=True)
    shapes = shapes.reshape(-1)
    counts = np.bincount(shapes)
    return shapes, np.stack([np.bincount(shapes, column) / counts for column in (*columns, values)], axis=1)


def _centred(logs: Floats) -> Floats:
    centred: Floats = logs - logs.mean() if len(logs) else logs
    return centred


def _obstacle(design: Floats, names: Sequence[str], knob: str) -> str | None:
    """Return why the effect of a knob cannot be separated from that of the others; None where it can."""
    column = 1 + names.index(knob)
    if design.shape[1] - 1 >= len(design):
        return f"{len(design)} shapes are too few for {design.shape[1] - 1} knobs that vary"
    if explained_share(design, column) <= MAX_SHARED:
        return None
    partners, shared = _partners(design, column)
    listed = " and ".join(names[i - 1] for i in partners)
    return f"moves together with {listed} ({shared:.1%} of its variance)"


def _partners(design: Floats, column: int) -> tuple[list[int], float]:
    """Return the fewest other columns, the most correlated first, that explain one, and the share that they explain."""
    others = [i for i in range(1, design.shape[1]) if i != column]
    others.sort(key=lambda i: -abs(float(np.corrcoef(design[:, i], design[:, column])[0, 1])))
    shared = 0.0
    for count in range(1, len(others) + 1):
        shared = explained_share(design[:, [0, column, *others[:count]]], 1)
        if shared > MAX_SHARED:
            return others[:count], shared
    return others, shared


def knob_effect(fit: KnobFit, knob: Knob, confidence: float) -> Row:
    """Return the elasticity of a quality in a knob at equal other knobs.

    Returns:
        `equal` is `other knobs`; `elasticity` with its t-interval; `bends_p`, the p-value of a term of ln² x beside it,
        small where the elasticity is not the same everywhere; `verdict`: `more is better`, `less is better`, `no
        difference shown`, or `cannot tell` with the reason; `models`, their number.
    """
    row = _blank_effect(fit.quality, knob, OTHER_KNOBS) | {"models": int(fit.rows.sum())}
    if (reason := why_not(fit, knob)) is not None:
        return row | {"reason": reason}
    assert fit.regression is not None  # or there is a reason
    return row | _judged(fit.regression, fit.column(knob), fit.quality, confidence) | {"bends_p": _bends(fit, knob)}


def why_not(fit: KnobFit, knob: Knob) -> str | None:
    """Return why the effect of a knob cannot be told; None where it can."""
    if fit.quality.reason is not None:
        return fit.quality.reason
    if all(knob.name != other.name for other in fit.knobs):
        return f"one value of {knob.name} in the {int(fit.rows.sum())} models with {fit.quality.name}"
    if knob.name in fit.obstacles:
        return fit.obstacles[knob.name]
    if fit.regression is None:
        return f"{len(fit.design)} shapes are too few for {fit.design.shape[1]} unknowns and their error; add more"
    return None


def knob_effect_at_cost(
    quality: LogQuality, knob: Knob, cost: Cost, tokens: Floats | None, among: Mask, confidence: float
) -> Row:
    """Return the elasticity of a quality in a knob at equal cost, the other knobs paying for it as in the table.

    Formula: ln q = a + b·ln C + b₂·ln² C + e·ln x, by least squares; the square from 8 shapes on. Where C is a size,
    training tokens are held equal as well, with a term of ln D; where it is FLOPs or time they pay, too.

    Args:
        quality: q.
        knob: x.
        cost: C.
        tokens: ln D of each model; None where the table has none.
        among: mask of the models to use.
        confidence: of the t-interval.

    Returns:
        As `knob_effect`, with the name of the cost as `equal`.
    """
    logs = _log_cost(cost)
    rows = among & np.isfinite(quality.logs) & np.isfinite(knob.logs) & np.isfinite(logs)
    held = None
    if tokens is not None and quantity_of(cost.name) in SIZES and (known := hold_tokens(tokens, rows)) is not None:
        rows, held = known, tokens
    row = _blank_effect(quality, knob, cost.name) | {"models": int(rows.sum())}
    if quality.reason is not None:
        return row | {"reason": quality.reason}
    if not varies(knob.logs[rows]):
        return row | {"reason": f"one value of {knob.name} in the {int(rows.sum())} models with both"}
    columns = [knob.logs[rows], logs[rows], *([held[rows]] if held is not None else [])]
    _, means = shape_means(columns, quality.logs[rows])
    centred = [_centred(column) for column in means.T[:-1]]
    design = np.column_stack([np.ones(len(means)), *centred])
    if len(design) >= MIN_SHAPES_QUADRATIC and len(np.unique(np.round(centred[1], 9))) > 3:
        design = np.column_stack([design, centred[1] ** 2])
    if len(design) - int(np.linalg.matrix_rank(design)) < MIN_FREEDOM:
        return row | {"reason": f"{len(design)} shapes are too few for {design.shape[1]} unknowns and their error"}
    if (shared := explained_share(design, 1)) > MAX_SHARED:
        return row | {"reason": f"{cost.name} explains {shared:.1%} of its variance"}
    return row | _judged(regress(design, means[:, -1]), 1, quality, confidence)


def return_on_cost(fit: KnobFit, knob: Knob, cost: Cost, confidence: float) -> Row:
    """Return what a quality gains for a cost, where it is spent on one knob alone.

    Formula: r = e_k/c_k with ln q = a + Σ e·ln x and ln C = a' + Σ c·ln x on the same models: the per cent by which q
    changes where the cost is 1 % larger through that knob. The interval is the delta method's with Student's t; both
    residuals may correlate.

    Returns:
        `per_cost` with its interval, or the reason why there is none.
    """
    blank: Row = {"knob": knob.name, "quality": fit.quality.name, "cost": cost.name}
    blank |= dict.fromkeys(("per_cost", "per_cost_low", "per_cost_high", "cost_elasticity", "reason"))
    if (reason := why_not(fit, knob)) is not None:
        return blank | {"reason": reason}
    logs = fit.of_shapes(_log_cost(cost))
    if not np.isfinite(logs).all():
        return blank | {"reason": f"{int((~np.isfinite(logs)).sum())} of {len(logs)} shapes have no {cost.name}"}
    paid, bought, column = regress(fit.design, logs), fit.regression, fit.column(knob)
    assert bought is not None  # or there is a reason
    price, gain = float(paid.coefficients[column]), float(bought.coefficients[column])
    if paid.interval(column, confidence)[0] <= 0 or price < 1e-6:
        return blank | {"reason": f"{cost.name} does not grow with {knob.name} at equal other knobs"}
    shared = float(bought.residuals @ paid.residuals) / bought.freedom
    ratio = gain / price
    variance = (bought.variance - 2 * ratio * shared + ratio**2 * paid.variance) * float(bought.inverse[column, column])
    reach = two_sided(confidence, bought.freedom) * math.sqrt(max(variance, 0.0)) / price
    return blank | {
        "per_cost": ratio, "per_cost_low": ratio - reach, "per_cost_high": ratio + reach, "cost_elasticity": price,
    }  # fmt: skip


def _log_cost(cost: Cost) -> Floats:
    usable = np.isfinite(cost.values) & (cost.values > 0)
    return np.where(usable, np.log(np.where(usable, cost.values, 1.0)), np.nan)


def _blank_effect(quality: LogQuality, knob: Knob, equal: str) -> Row:
    row: Row = {"knob": knob.name, "quality": quality.name, "equal": equal, "verdict": CANNOT_TELL}
    return row | dict.fromkeys(("elasticity", "elasticity_low", "elasticity_high", "bends_p", "models", "reason"))


def _judged(regression: Regression, column: int, quality: LogQuality, confidence: float) -> Row:
    """Return an elasticity with its interval and verdict."""
    low, high = regression.interval(column, confidence)
    gain = (low, high) if quality.sign > 0 else (-high, -low)
    verdict = "more is better" if gain[0] > MIN_EFFECT else "less is better" if gain[1] < -MIN_EFFECT else NOT_SHOWN
    value = float(regression.coefficients[column])
    return {"elasticity": value, "elasticity_low": low, "elasticity_high": high, "verdict": verdict}


def _bends(fit: KnobFit, knob: Knob) -> float | None:
    """Return the p-value of a term of the knob's squared logarithm beside the others; None where it has two values."""
    from scipy.special import stdtr

    logs = fit.design[:, fit.column(knob)]
    bent = np.column_stack([fit.design, logs**2])
    if np.linalg.matrix_rank(bent) <= np.linalg.matrix_rank(fit.design) or len(bent) - bent.shape[1] < 1:
        return None
    regression = regress(bent, fit.logs)
    error = regression.error(bent.shape[1] - 1)
    if error <= 1e-12 * (1e-12 + abs(float(regression.coefficients[-1]))):
        return None
    return float(2 * stdtr(regression.freedom, -abs(float(regression.coefficients[-1])) / error))
