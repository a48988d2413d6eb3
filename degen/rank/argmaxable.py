"""Whether a token can be the argmax of the logits: directions that show it can, and a linear program that proves it.

Token i can be the argmax, with rows w and biases b, where some state h has w_i·h + b_i > w_j·h + b_j for every other j.
With a = (w, b) that is a vector x = (y, t), t ≥ 0, with (a_i − a_j)·x > 0 for every j: h is y/t, and where t is 0 a
small one does as well. Without a bias there is no t. Softcaps and scales of logits change no argmax.

Source: Demeter et al. 2020 (arXiv 2005.02433); Grivas et al. 2022 (arXiv 2203.06462), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats, Ints, Mask
from degen.model.lm_head import Head

from .head_factor import head_factor
from .linear_algebra import MIN_SINGULAR

Blocks = Callable[[], Iterator[Floats]]  # all a in order, a block of rows at a time

ROUNDS = 20  # corrections of a direction at most
LOOKS = 3  # of a direction at all rows, on average over the tokens that are checked
STEP = 1.5  # of Motzkin's relaxation, between 1 (onto the violated plane) and 2
MARGIN = 1e-9  # of ‖z_i − z_j‖‖x‖: a smaller margin is no margin, by the tolerance of the linear program
ADDED = 64  # violated constraints that a round of the linear program takes on
LIMIT = 200  # rounds of the linear program; each adds constraints that it had not


@dataclass(frozen=True)
class Cloud:
    """The rows of a head as points: what can be the argmax stays the same when all are shifted or mapped linearly.

    Attributes:
        blocks: gives all a, n × k.
        mean: of all a, k.
        whiten: A, k × m: z = (a − mean)A has the covariance I (a bias, the last column, is only scaled).
        bias: whether the last column of a and z is a bias, whose x must not be negative.
    """

    blocks: Blocks
    mean: Floats
    whiten: Floats
    bias: bool


def cloud_of(head: Head) -> Cloud | None:
    """Return the used rows of a head as a cloud, without directions in which they do not differ; None if all are equal.

    Raises:
        NotFiniteError: a row or the bias holds NaN or infinity.
    """
    factor, bias = head_factor(head), head.bias
    if factor is None:
        return None
    values, vectors = factor.centred_directions
    kept = values > MIN_SINGULAR * max(float(values.max()), 1e-300)
    whiten: Floats = vectors.numpy()[:, kept] * (math.sqrt(factor.rows) / values[kept])
    mean = factor.mean.numpy()
    spread = 0.0 if bias is None else float(bias.std())
    if bias is not None and spread > 0:
        whiten = np.pad(whiten, ((0, 1), (0, 1)))
        whiten[-1, -1] = 1 / spread
        mean = np.append(mean, bias.mean())
    if not whiten.shape[1]:
        return None

    def blocks() -> Iterator[Floats]:
        first = 0
        for block in head.blocks():
            rows: Floats = block.numpy()
            if bias is not None and spread > 0:
                rows = np.concatenate([rows, bias[first : first + len(rows), None]], axis=1)
            first += len(rows)
            yield rows

    return Cloud(blocks, mean, whiten, spread > 0)


def nearest(cloud: Cloud, count: int) -> tuple[Ints, Floats, Floats]:
    """Return the rows nearest to the mean: their indices, z, and Mahalanobis's distances, a bias left out of these."""
    rows: Ints = np.zeros(0, dtype=np.int64)
    points, distances, first = np.zeros((0, cloud.whiten.shape[1])), np.zeros(0), 0
    shift = cloud.mean @ cloud.whiten
    for block in cloud.blocks():
        own = block @ cloud.whiten
        own -= shift
        states = own[:, : -1 if cloud.bias else None]
        lengths = np.sqrt(np.einsum("nk,nk->n", states, states))
        among = np.argsort(lengths, kind="stable")[:count]
        rows, points = np.concatenate([rows, first + among]), np.concatenate([points, own[among]])
        distances = np.concatenate([distances, lengths[among]])
        kept = np.argsort(distances, kind="stable")[:count]
        rows, points, distances = rows[kept], points[kept], distances[kept]
        first += len(block)
    return rows, points, distances


def rows_of(cloud: Cloud, rows: Ints) -> Floats:
    """Return a_i of some rows i, as they are stored: differences of these are exactly zero for equal rows."""
    found, first = np.zeros((len(rows), len(cloud.whiten))), 0
    for block in cloud.blocks():
        inside = (rows >= first) & (rows < first + len(block))
        found[inside] = block[rows[inside] - first]
        first += len(block)
    return found


def best_others(cloud: Cloud, rows: Ints, directions: Floats) -> Floats:
    """Return for every direction x of a row i the row a_j, j ≠ i, with the largest z_j·x, in one pass over all rows.

    Args:
        cloud: all rows.
        rows: i, one for each direction.
        directions: x, one a row.
    """
    score, first = np.full(len(rows), -np.inf), 0
    vectors = np.zeros((len(rows), len(cloud.whiten)))
    mapped = cloud.whiten @ directions.T
    shift = cloud.mean @ mapped
    for block in cloud.blocks():
        dots = block @ mapped
        dots -= shift
        inside = (rows >= first) & (rows < first + len(block))
        dots[rows[inside] - first, np.flatnonzero(inside)] = -np.inf
        at = dots.argmax(axis=0)
        here = dots[at, np.arange(len(rows))]
        better = here > score
        score[better], vectors[better] = here[better], block[at[better]]
        first += len(block)
    return vectors


def without_direction(cloud: Cloud, rows: Ints, points: Floats) -> Mask:
    """Return which of some rows no tried direction makes the argmax: the candidates.

    The first direction is z_i itself: a_i less the mean, in Mahalanobis's metric. Where another row j wins, Motzkin's
    relaxation moves x beyond the plane (z_i − z_j)·x = 0, and tries again, three times on average.

    Args:
        cloud: all rows.
        rows: i, those that are checked.
        points: z_i.
    """
    left, x, own = np.ones(len(rows), dtype=bool), points.copy(), rows_of(cloud, rows)
    looks = LOOKS * len(rows)
    for _ in range(ROUNDS):
        at = np.flatnonzero(left)
        looks -= len(at)
        if not len(at) or looks < 0:
            break
        if cloud.bias:
            x[:, -1] = np.maximum(x[:, -1], 0)
        apart = (own[at] - best_others(cloud, rows[at], x[at])) @ cloud.whiten
        short = -(apart * x[at]).sum(axis=1)  # how far another is ahead: exactly 0 for an equal row
        lengths = np.maximum((apart**2).sum(axis=1), 1e-300)
        scale = np.sqrt(lengths) * np.linalg.norm(x[at], axis=1)
        left[at] = short >= -MARGIN * scale
        x[at] += ((STEP * np.maximum(short, 0) + 1e-3 * scale) / lengths)[:, None] * apart
    return left


def prove(cloud: Cloud, row: int, point: Floats) -> bool | None:
    """Return whether some state makes row i the argmax: a state that does, or a linear program without solution.

    Program: max ε with (z_i − z_j)·x/‖z_i − z_j‖ ≥ ε for some j, and |x_k| ≤ 1. ε = 0 for some of the j is a proof that
    i cannot be the argmax: of more of them it is no larger. Where ε > 0, the rows that still win against i are added,
    until none does. A margin up to 1e-9 counts as none.

    Args:
        cloud: all rows.
        row: i.
        point: z_i.

    Returns:
        None where neither was found in 200 rounds.

    Raises:
        RuntimeError: the solver gives up.
    """
    constraints: Floats = np.zeros((0, len(point)))
    (own,) = rows_of(cloud, np.asarray([row]))
    x = point.copy()
    if cloud.bias:
        x[-1] = max(x[-1], 0.0)
    for _ in range(LIMIT):
        winners = _winners(cloud, row, own, x)
        if not len(winners):
            return True
        lengths = np.linalg.norm(winners, axis=1)
        if not lengths.min() > 0:
            return False  # an equal row, with which it can but tie
        constraints = np.concatenate([constraints, winners / lengths[:, None]])
        if (solved := _solve(constraints, cloud.bias)) is None:
            return None
        margin, x = solved
        if margin <= MARGIN:
            return False
    return None


def _winners(cloud: Cloud, row: int, own: Floats, x: Floats) -> Floats:
    """Return z_i − z_j of the rows j that win most against row i, a_i, or tie in direction x; none where i is ahead."""
    found: list[Floats] = [np.zeros((0, len(x)))]
    first, mapped = 0, cloud.whiten @ x
    for block in cloud.blocks():
        scores = block @ mapped
        if first <= row < first + len(block):
            scores[row - first] = -np.inf
        at = np.argsort(-scores)[:ADDED]
        found.append((own - block[at[scores[at] > -np.inf]]) @ cloud.whiten)
        first += len(block)
    apart = np.concatenate(found)
    ahead = -apart @ x  # exactly 0 for an equal row, as a difference of two scores would not be
    order = np.argsort(-ahead)[:ADDED]
    chosen: Floats = apart[order[ahead[order] >= 0]]
    return chosen


def _solve(constraints: Floats, bias: bool) -> tuple[float, Floats] | None:
    """Return the largest ε, and x, with every constraint·x ≥ ε and |x_k| ≤ 1; None where the solver gives up."""
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
        return None
    return float(solved.x[-1]), solved.x[:-1]
