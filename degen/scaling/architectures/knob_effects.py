"""What each knob of a model's shape buys: elasticities at equal other knobs, at equal cost, and per cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats, Mask
from degen.stats.multiple_regression import MIN_FREEDOM, Regression, explained_share, regress
from degen.stats.quantiles import two_sided
from degen.tables import Row

from .columns import Cost, Quality
from .knobs import Knob, varies

MAX_SHARED = 0.9  # share of a knob's variance that the others explain: a variance inflation of 10
MIN_PARTNER = 0.3  # correlation with a knob from which another is named as moving together with it
OTHER_KNOBS = "other knobs"
CANNOT_TELL = "cannot tell"


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
        design: 1, the knobs' logarithms and those of training tokens where they vary; shape (rows, columns).
        regression: None where there are too few models.
        obstacles: why the effect of a knob cannot be told, by its name.
    """

    quality: LogQuality
    knobs: Sequence[Knob]
    rows: Mask
    design: Floats
    regression: Regression | None
    obstacles: dict[str, str]

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
    columns = [np.ones(int(rows.sum())), *(_centred(knob.logs[rows]) for knob in varying)]
    names = [knob.name for knob in varying]
    if tokens is not None and np.isfinite(tokens[rows]).all() and varies(tokens[rows]):
        columns.append(_centred(tokens[rows]))
        names.append("tokens")
    design = np.stack(columns, axis=1)
    obstacles = {knob.name: reason for knob in varying if (reason := _obstacle(design, names, knob.name)) is not None}
    enough = len(design) - int(np.linalg.matrix_rank(design)) >= MIN_FREEDOM
    regression = regress(design, quality.logs[rows]) if enough and varying else None
    return KnobFit(quality, varying, rows, design, regression, obstacles)


def _centred(logs: Floats) -> Floats:
    centred: Floats = logs - logs.mean()
    return centred


def _obstacle(design: Floats, names: Sequence[str], knob: str) -> str | None:
    """Return why the effect of a knob cannot be separated from that of the others; None where it can."""
    column = 1 + names.index(knob)
    if design.shape[1] - 1 >= len(design):
        return f"{len(design)} models are too few for {design.shape[1] - 1} knobs that vary"
    shared = explained_share(design, column)
    if shared <= MAX_SHARED:
        return None
    return f"moves together with {' and '.join(_partners(design, names, column))} ({shared:.1%} of its variance)"


def _partners(design: Floats, names: Sequence[str], column: int) -> list[str]:
    """Return the knobs that explain a column of a design matrix: those correlated with it, or else all others."""
    others = [i for i in range(1, design.shape[1]) if i != column]
    correlated = [i for i in others if abs(float(np.corrcoef(design[:, i], design[:, column])[0, 1])) >= MIN_PARTNER]
    return [names[i - 1] for i in (correlated or others)]


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
        return f"all {int(fit.rows.sum())} models with {fit.quality.name} have one {knob.name}"
    if knob.name in fit.obstacles:
        return fit.obstacles[knob.name]
    if fit.regression is None:
        return f"{len(fit.design)} models are too few for {fit.design.shape[1]} unknowns and their error; add more"
    return None


def knob_effect_at_cost(quality: LogQuality, knob: Knob, cost: Cost, among: Mask, confidence: float) -> Row:
    """Return the elasticity of a quality in a knob at equal cost, the other knobs paying for it as in the table.

    Formula: ln q = a + b·ln C + b₂·ln² C + e·ln x, by least squares; the square from 8 models on.

    Args:
        quality: q.
        knob: x.
        cost: C.
        among: mask of the models to use.
        confidence: of the t-interval.

    Returns:
        As `knob_effect`, with the name of the cost as `equal`.
    """
    logs = _log_cost(cost)
    rows = among & np.isfinite(quality.logs) & np.isfinite(knob.logs) & np.isfinite(logs)
    row = _blank_effect(quality, knob, cost.name) | {"models": int(rows.sum())}
    if quality.reason is not None:
        return row | {"reason": quality.reason}
    if not varies(knob.logs[rows]):
        return row | {"reason": f"all {int(rows.sum())} models with both have one {knob.name}"}
    columns = [np.ones(int(rows.sum())), _centred(knob.logs[rows])]
    if varies(logs[rows]):
        columns.append(_centred(logs[rows]))
        if len(columns[0]) >= 8 and len(np.unique(logs[rows])) > 3:
            columns.append(columns[-1] ** 2)
    design = np.stack(columns, axis=1)
    if len(design) - int(np.linalg.matrix_rank(design)) < MIN_FREEDOM:
        return row | {"reason": f"{len(design)} models are too few for {design.shape[1]} unknowns and their error"}
    if (shared := explained_share(design, 1)) > MAX_SHARED:
        return row | {"reason": f"{cost.name} explains {shared:.1%} of its variance"}
    return row | _judged(regress(design, quality.logs[rows]), 1, quality, confidence)


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
    logs = _log_cost(cost)[fit.rows]
    if not np.isfinite(logs).all():
        return blank | {"reason": f"{int((~np.isfinite(logs)).sum())} of {len(logs)} models have no {cost.name}"}
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
    verdict = "more is better" if gain[0] > 0 else "less is better" if gain[1] < 0 else "no difference shown"
    value = float(regression.coefficients[column])
    return {"elasticity": value, "elasticity_low": low, "elasticity_high": high, "verdict": verdict}


def _bends(fit: KnobFit, knob: Knob) -> float | None:
    """Return the p-value of a term of the knob's squared logarithm beside the others; None where it has two values."""
    from scipy.special import stdtr

    logs = fit.design[:, fit.column(knob)]
    bent = np.column_stack([fit.design, logs**2])
    if np.linalg.matrix_rank(bent) <= np.linalg.matrix_rank(fit.design) or len(bent) - bent.shape[1] < 1:
        return None
    regression = regress(bent, fit.quality.logs[fit.rows])
    error = regression.error(bent.shape[1] - 1)
    if error <= 1e-12 * (1e-12 + abs(float(regression.coefficients[-1]))):
        return None
    return float(2 * stdtr(regression.freedom, -abs(float(regression.coefficients[-1])) / error))
