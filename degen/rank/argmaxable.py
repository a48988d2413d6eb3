"""Whether a token can be the argmax of the logits: directions that show it can, and a linear program that proves it.

Token i can be the argmax, with rows w and biases b, where some state h has w_i·h + b_i > w_j·h + b_j for every other j.
With a = (w, b) that is a vector x = (y, t), t ≥ 0, with (a_i − a_j)·x > 0 for every j: h is y/t, and where t is 0 a
small one does as well. Without a bias there is no t. Softcaps and scales of logits change no argmax.

Source: Demeter et al. 2020 (arXiv 2005.02433); Grivas et al. 2022 (arXiv 2203.06462), section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats, Ints, Mask

Blocks = Callable[[], Iterator[Floats]]  # all a in order, a block of rows at a time

ROUNDS = 20  # corrections of a direction at most
STEP = 1.5  # of Motzkin's relaxation, between 1 (onto the violated plane) and 2
MARGIN = 1e-9  # of max‖a_i − a_j‖: a smaller margin is no margin, by the tolerance of the linear program
ADDED = 64  # violated constraints that a round of the linear program takes on
LIMIT = 200  # rounds of the linear program; each adds constraints that it had not


@dataclass(frozen=True)
class Best:
    """The best other row for some directions.

    Attributes:
        score: max over j ≠ i of a_j·x, one for each direction.
        row: j.
        vector: a_j.
    """

    score: Floats
    row: Ints
    vector: Floats


def best_others(blocks: Blocks, rows: Ints, directions: Floats) -> Best:
    """Return for every direction x of a row i the row j ≠ i with the largest a_j·x, in one pass over all rows.

    Args:
        blocks: gives all a, n × k a block.
        rows: i, one for each direction.
        directions: x, one a row.
    """
    score, row = np.full(len(rows), -np.inf), np.full(len(rows), -1)
    vector, first = np.zeros_like(directions), 0
    for block in blocks():
        dots = block @ directions.T
        inside = (rows >= first) & (rows < first + len(block))
        dots[rows[inside] - first, np.flatnonzero(inside)] = -np.inf
        at = dots.argmax(axis=0)
        here = dots[at, np.arange(len(rows))]
        better = here > score
        score[better], row[better], vector[better] = here[better], first + at[better], block[at[better]]
        first += len(block)
    return Best(score, row, vector)


def without_direction(blocks: Blocks, rows: Ints, vectors: Floats, start: Floats, bias: bool) -> Mask:
    """Return which of some rows no tried direction makes the argmax: the candidates.

    The first direction is a_i less the mean. Where another row j wins, Motzkin's relaxation moves x beyond the plane
    (a_i − a_j)·x = 0, and tries again, as long as all that are left take no more than one further look at each row.

    Args:
        blocks: gives all a.
        rows: i, those that are checked.
        vectors: a_i.
        start: the mean of all a.
        bias: whether the last entry of a is a bias, and that of x must not be negative.
    """
    left, x = np.ones(len(rows), dtype=bool), vectors - start
    looks = 2 * len(rows)
    for _ in range(ROUNDS):
        at = np.flatnonzero(left)
        looks -= len(at)
        if not len(at) or looks < 0:
            break
        if bias:
            x[:, -1] = np.maximum(x[:, -1], 0)
        best = best_others(blocks, rows[at], x[at])
        apart = vectors[at] - best.vector
        short = best.score - (vectors[at] * x[at]).sum(axis=1)  # how far another is ahead
        lengths = np.maximum((apart**2).sum(axis=1), 1e-300)
        scale = np.sqrt(lengths) * np.linalg.norm(x[at], axis=1)
        left[at] = short >= -MARGIN * scale
        x[at] += ((STEP * np.maximum(short, 0) + 1e-3 * scale) / lengths)[:, None] * apart
    return left


def prove(blocks: Blocks, row: int, vector: Floats, bias: bool) -> bool | None:
    """Return whether some state makes row i the argmax: a state that does, or a linear program without solution.

    Program: max ε with (a_i − a_j)·x/‖a_i − a_j‖ ≥ ε for some j, and |x_k| ≤ 1. ε = 0 for some of the j is a proof that
    i cannot be the argmax: of more of them it is no larger. Where ε > 0, the rows that still win against i are added,
    until none does.

    Args:
        blocks: gives all a.
        row: i.
        vector: a_i.
        bias: whether the last entry of a is a bias.

    Returns:
        None where neither was found in 200 rounds.

    Raises:
        RuntimeError: the solver gives up.
    """
    constraints: Floats = np.zeros((0, len(vector)))
    x = np.zeros(len(vector))
    for _ in range(LIMIT):
        winners = _winners(blocks, row, vector, x)
        if not len(winners):
            return True
        lengths = np.linalg.norm(winners, axis=1)
        if not lengths.min() > 0:
            return False  # an equal row, with which it can but tie
        constraints = np.concatenate([constraints, winners / lengths[:, None]])
        margin, x = _solve(constraints, bias)
        if margin <= MARGIN:
            return False
    return None


def _winners(blocks: Blocks, row: int, vector: Floats, x: Floats) -> Floats:
    """Return a_i − a_j of the rows j that win most against row i in direction x; none where i is the argmax."""
    found: list[Floats] = []
    scores: list[Floats] = []
    first = 0
    for block in blocks():
        ahead = block @ x - vector @ x
        if first <= row < first + len(block):
            ahead[row - first] = -np.inf
        at = np.argsort(-ahead)[:ADDED]
        at = at[ahead[at] >= 0]
        found.append(vector - block[at])
        scores.append(ahead[at])
        first += len(block)
    order = np.argsort(-np.concatenate(scores))[:ADDED]
    chosen: Floats = np.concatenate(found)[order]
    return chosen


def _solve(constraints: Floats, bias: bool) -> tuple[float, Floats]:
    """Return the largest ε, and x, with every constraint·x ≥ ε and |x_k| ≤ 1."""
    from scipy.optimize import linprog

    width = constraints.shape[1]
    bounds = [(-1.0, 1.0)] * width + [(None, 1.0)]
    if bias:
        bounds[width - 1] = (0.0, 1.0)
    matrix = np.concatenate([-constraints, np.ones((len(constraints), 1))], axis=1)
    solved = linprog(
        np.append(np.zeros(width), -1.0), A_ub=matrix, b_ub=np.zeros(len(constraints)), bounds=bounds, method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )  # fmt: skip
    if solved.x is None:
        raise RuntimeError(f"the linear program was not solved: {solved.message}")
    return float(solved.x[-1]), solved.x[:-1]
