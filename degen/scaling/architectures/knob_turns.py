"""From where more of a knob stops paying: a hinge in the elasticity, with the interval of its place."""

from __future__ import annotations

import math

import numpy as np

from degen.arrays import Floats
from degen.stats.multiple_regression import MIN_FREEDOM, regress
from degen.tables import Row

from .knob_effects import CANNOT_TELL, KnobFit, why_not
from .knobs import SAME, Knob

MIN_VALUES = 5  # different values of a knob: two on each side of the turn, and one more
MIN_BEYOND = 3  # shapes beyond a turn
MIN_SHAPES_CUBIC = 20
MOVES_WITH = 0.5  # correlation from which the bend of another knob may look like a turn of one
GRID = 240  # turns that are tried, evenly spread in the logarithm
DRAWS = 2_000  # of the test against no turn
MAX_AFTER = 0.5  # of the gain below the turn, that the interval of the gain above it must lie below
SURE_AFTER = 0.1  # of the gain below the turn: where the interval above it begins higher, more still pays
SIGNIFICANCE = 0.05  # of all tests of a table together


def find_turn(fit: KnobFit, knob: Knob, confidence: float, tests: int = 1) -> Row:
    """Return from which value of a knob on more of it no longer pays, at equal other knobs.

    Formula: ln q = (other knobs) + e·ln x + h·max(0, ln x − ln τ) + (bends), by least squares over a grid of τ. The
    bends let the law bend as a whole, as E + A/N^α does, so that this is no turn of one knob; see `_bends`. A turn is
    shown where (1) it is significant, by the largest F over all τ against its distribution without a turn (Gaussian
    noise, simulated), at 0.05 divided by the number of tests; (2) more of the knob helps below τ, its interval not
    reaching 0, and the interval of the gain above τ ends below half of that and begins below a tenth; (3) a smooth
    bend of this knob, ln² x, fits no better. The elasticities on both sides are those without the bends. The interval
    of τ is that of the likelihood ratio, RSS(τ) ≤ RSS·(1 + 2F/(n − p)), F on 2 and n − p degrees of freedom: τ, and
    the side of the nearest value of the knob that it lies on, are two choices.

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
    logs = fit.of_shapes(knob.logs)
    different = np.unique(np.round(logs, 9))
    if len(different) < MIN_VALUES:
        return row | {"reason": f"{len(different)} values of {knob.name}; a turn needs {MIN_VALUES}"}
    base = np.column_stack([fit.design, *_bends(fit, fit.column(knob))])
    freedom = len(base) - int(np.linalg.matrix_rank(base)) - 2
    if freedom < MIN_FREEDOM:
        return row | {"reason": f"{len(base)} shapes are too few for a turn"}
    turns = np.linspace(different[1], different[-2], GRID)
    turns = turns[[(logs > turn + SAME).sum() >= MIN_BEYOND for turn in turns]]
    hinges, usable = _orthogonal_hinges(base, logs, turns)
    turns, residuals = turns[usable], _residuals(base, fit.logs)
    if not len(turns):
        return row | {"reason": f"fewer than {MIN_BEYOND} shapes beyond any turn of {knob.name}"}
    rss = float(residuals @ residuals)
    left = rss - (hinges @ residuals) ** 2
    best = int(left.argmin())
    p = _p_value(base, hinges, rss, float(left[best]))
    row |= {"p": p, "verdict": "no turn shown"}
    bent = _residuals(np.column_stack([base, fit.design[:, fit.column(knob)] ** 2]), fit.logs)
    if p > SIGNIFICANCE / max(tests, 1) or float(bent @ bent) < float(left[best]) * (1 - 1e-9):
        return row
    return row | _judge_turn(fit, knob, turns, left, best, confidence)


def _bends(fit: KnobFit, column: int) -> list[Floats]:
    """Return columns for how ln q may bend without a turn of the knob in a column of the design.

    η² and from 20 shapes on η³, η what the line gives: ln q as a function of all knobs together. And the squares of the
    knobs that move with this one, with their product: their bend would look like a turn of it.
    """
    assert fit.regression is not None  # or there is a reason
    line = fit.logs - fit.regression.residuals
    scaled = (line - line.mean()) / (float(line.std()) or 1.0)
    bends = [scaled**2, scaled**3] if len(scaled) >= MIN_SHAPES_CUBIC else [scaled**2]
    own = fit.design[:, column]
    for other in (i for i in range(1, fit.design.shape[1]) if i != column):
        logs = fit.design[:, other]
        if abs(float(np.corrcoef(own, logs)[0, 1])) >= MOVES_WITH:
            bends += [logs**2, own * logs]
    return bends


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


def _judge_turn(fit: KnobFit, knob: Knob, turns: Floats, left: Floats, best: int, confidence: float) -> Row:
    """Return the turn with its interval and the elasticities on both sides; no verdict where more still pays above."""
    from scipy.stats import f

    logs, column = fit.of_shapes(knob.logs), fit.column(knob)
    design = np.column_stack([fit.design, np.maximum(0.0, logs - turns[best])])
    design[:, column] = np.minimum(logs, turns[best])  # the slope below; that of the last column is the one above
    regression = regress(design, fit.logs)
    sign = fit.quality.sign
    below = regression.interval(column, confidence)
    low, high = regression.interval(design.shape[1] - 1, confidence)
    gain_low, gain_high = (low, high) if sign > 0 else (-high, -low)
    gain = sign * float(regression.coefficients[column])
    if min(sign * below[0], sign * below[1]) <= 0 or gain_low > SURE_AFTER * gain or gain_high >= MAX_AFTER * gain:
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
