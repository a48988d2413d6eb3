"""From where more of a knob stops paying: a hinge in the elasticity, with the interval of its place."""

from __future__ import annotations

import math

import numpy as np

from degen.arrays import Floats
from degen.stats.multiple_regression import MIN_FREEDOM, regress
from degen.tables import Row

from .knob_effects import CANNOT_TELL, KnobFit, why_not
from .knobs import Knob

MIN_VALUES = 5  # different values of a knob: two on each side of the turn, and one more
GRID = 240  # turns that are tried, evenly spread in the logarithm
DRAWS = 2_000  # of the test against no turn
MAX_AFTER = 0.5  # of the gain below the turn, that the interval of the gain above it must lie below
SURE_AFTER = 0.1  # of the gain below the turn: where the interval above it begins higher, more still pays
SIGNIFICANCE = 0.05  # of all tests of a table together


def find_turn(fit: KnobFit, knob: Knob, confidence: float, tests: int = 1) -> Row:
    """Return from which value of a knob on more of it no longer pays, at equal other knobs.

    Formula: ln q = (other knobs) + e·ln x + h·max(0, ln x − ln τ), by least squares over a grid of τ. A turn is shown
    where (1) it is significant, by the largest F over all τ against its distribution without a turn (Gaussian noise,
    simulated), at 0.05 divided by the number of tests; (2) more of the knob helps below τ, and the interval of the gain
    above it ends below half of that and begins below a tenth; (3) a smooth bend, ln² x, fits no better. The interval of
    τ is that of the likelihood ratio, RSS(τ) ≤ RSS·(1 + 2F/(n − p)), F on 2 and n − p degrees of freedom: τ, and the
    side of the nearest value of the knob that it lies on, are two choices.

    Args:
        fit: the quality on all knobs.
        knob: x.
        confidence: of the intervals.
        tests: how many turns are tested in the same table.

    Returns:
        `verdict`: `stops paying`, `no turn shown`, or `cannot tell` with the reason; `turn`, τ in the knob's unit, with
        its interval; `below` and `above`, the elasticities on both sides; `p`, of the test.
    """
    row: Row = {"knob": knob.name, "quality": fit.quality.name, "verdict": CANNOT_TELL}
    row |= dict.fromkeys(("turn", "turn_low", "turn_high", "below", "above", "above_low", "above_high", "p", "reason"))
    if (reason := why_not(fit, knob)) is not None:
        return row | {"reason": reason}
    logs, values = knob.logs[fit.rows], fit.quality.logs[fit.rows]
    different = np.unique(np.round(logs, 9))
    if len(different) < MIN_VALUES:
        return row | {"reason": f"{len(different)} values of {knob.name}; a turn needs {MIN_VALUES}"}
    freedom = len(values) - int(np.linalg.matrix_rank(fit.design)) - 2
    if freedom < MIN_FREEDOM:
        return row | {"reason": f"{len(values)} models are too few for a turn"}
    turns = np.linspace(different[1], different[-2], GRID)
    hinges, usable = _orthogonal_hinges(fit.design, logs, turns)
    turns, residuals = turns[usable], _residuals(fit.design, values)
    rss = float(residuals @ residuals)
    left = rss - (hinges @ residuals) ** 2
    best = int(left.argmin())
    p = _p_value(fit.design, hinges, rss, float(left[best]))
    row |= {"p": p, "verdict": "no turn shown"}
    if p > SIGNIFICANCE / max(tests, 1) or _bend_residue(fit, knob) < float(left[best]) * (1 - 1e-9):
        return row
    return row | _judge_turn(fit, knob, turns, left, best, confidence)


def _residuals(design: Floats, values: Floats) -> Floats:
    return regress(design, values).residuals


def _unexplained(design: Floats, rows: Floats) -> Floats:
    """Return what the columns of a design matrix, n × p, do not explain of each of some rows of n values."""
    left, singular, _ = np.linalg.svd(design, full_matrices=False)
    basis = left[:, singular > singular[0] * 1e-10]
    rest: Floats = rows - (rows @ basis) @ basis.T
    return rest


def _orthogonal_hinges(design: Floats, logs: Floats, turns: Floats) -> tuple[Floats, Floats]:
    """Return what the design does not explain of each hinge, of length 1, and which hinges have such a part."""
    hinges = np.maximum(0.0, logs[None, :] - turns[:, None])
    rest = _unexplained(design, hinges)
    length = np.linalg.norm(rest, axis=1)
    usable = length > 1e-8 * max(float(np.linalg.norm(hinges, axis=1).max()), 1e-300)
    return rest[usable] / length[usable, None], usable


def _p_value(design: Floats, hinges: Floats, rss: float, left: float) -> float:
    """Return how often noise without a turn lets the best hinge explain as large a share; the seed is fixed."""
    if rss <= 0:
        return 1.0
    noise = np.random.default_rng(0).standard_normal((DRAWS, len(design)))
    noise = _unexplained(design, noise)
    shares = ((noise @ hinges.T) ** 2).max(axis=1) / (noise**2).sum(axis=1)
    return float((1 + (shares >= 1 - left / rss).sum()) / (DRAWS + 1))


def _bend_residue(fit: KnobFit, knob: Knob) -> float:
    """Return the sum of squares that a smooth bend in the knob, ln² x, leaves."""
    bent = np.column_stack([fit.design, fit.design[:, fit.column(knob)] ** 2])
    residuals = _residuals(bent, fit.quality.logs[fit.rows])
    return float(residuals @ residuals)


def _judge_turn(fit: KnobFit, knob: Knob, turns: Floats, left: Floats, best: int, confidence: float) -> Row:
    """Return the turn with its interval and the elasticities on both sides; no verdict where more still pays above."""
    from scipy.stats import f

    logs, values, column = knob.logs[fit.rows], fit.quality.logs[fit.rows], fit.column(knob)
    above = np.maximum(0.0, logs - turns[best])
    design = np.column_stack([fit.design, above])
    design[:, column] = np.minimum(logs, turns[best])  # the slope below; that of the last column is the one above
    regression = regress(design, values)
    below = fit.quality.sign * float(regression.coefficients[column])
    low, high = regression.interval(design.shape[1] - 1, confidence)
    gain_low, gain_high = (low, high) if fit.quality.sign > 0 else (-high, -low)
    if below <= 0 or gain_low > SURE_AFTER * below or gain_high >= MAX_AFTER * below:
        return {}
    freedom = regression.freedom - 1
    allowed = left[best] * (1 + 2 * float(f.ppf(confidence, 2, freedom)) / freedom)
    inside = turns[left <= allowed]
    step = float(turns[1] - turns[0]) if len(turns) > 1 else 0.0  # the turn lies between two that are tried
    return {
        "verdict": "stops paying",
        "turn": math.exp(turns[best]),
        "turn_low": math.exp(inside.min() - step),
        "turn_high": math.exp(inside.max() + step),
        "below": float(regression.coefficients[column]),
        "above": float(regression.coefficients[-1]),
        "above_low": low,
        "above_high": high,
    }
