"""Whether a token can be the argmax of the logits: directions that show it can, and a linear program that proves it.

Token i can be the argmax, with rows w and biases b, where some state h has w_i·h + b_i > w_j·h + b_j for every other j.
With a = (w, b) that is a vector x = (y, t), t ≥ 0, with (a_i − a_j)·x > 0 for every j: h is y/t, and where t is 0 a
small one does as well. Without a bias there is no t. Softcaps and scales of logits change no argmax.

Source: Demeter et al. 2020 (arXiv 2005.02433); Grivas et al. 2022 (arXiv 2203.06462), section 3.
"""

from __future__ import annotations

import numpy as np

from degen.arrays import Floats, Mask

from .cloud import Cloud, Points, best_others

ROUNDS = 20  # corrections of a direction at most
LOOKS = 3  # of a direction at all rows, on average over the tokens that are checked
STEP = 1.5  # of Motzkin's relaxation, between 1 (onto the violated plane) and 2
MARGIN = 1e-9  # of ‖z_i − z_j‖‖x‖: a smaller margin may be none, by the tolerance of the linear program
NONE = 1e-12  # a margin that counts as none
THIN_ROUNDS = 20  # rounds of the linear program with margins between these
ADDED = 64  # violated constraints that a round of the linear program takes on
LIMIT = 200  # rounds of the linear program; each adds constraints that it had not


def without_direction(cloud: Cloud, checked: Points) -> Mask:
    """Return which of some rows no tried direction makes the argmax: the candidates.

    The first direction is z_i itself: a_i less the mean, in Mahalanobis's metric. Where another row j wins, Motzkin's
    relaxation moves x beyond the plane (z_i − z_j)·x = 0, and tries again, three times on average.

    Args:
        cloud: all rows.
        checked: those rows i.
    """
    rows, own, x = checked.rows, checked.stored, checked.points.copy()
    left = np.ones(len(rows), dtype=bool)
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


def prove(cloud: Cloud, checked: Points, index: int) -> bool | None:
    """Return whether some state makes row i the argmax: a state that does, or a linear program without solution.

    Program: max ε with (z_i − z_j)·x/‖z_i − z_j‖ ≥ ε for some j, and |x_k| ≤ 1. ε = 0 for some of the j is a proof that
    i cannot be the argmax: of more of them it is no larger. Where ε > 0, the rows that still win against i are added,
    until none does. A margin up to 1e-12 counts as none; one up to 1e-9, which the tolerance of the solver may make,
    shows a state only where the stored rows themselves, by more than their rounding, put i ahead of all others there.

    Args:
        cloud: all rows.
        checked: some rows.
        index: of row i among these.

    Returns:
        None where neither was found in 200 rounds, or in 20 with a margin up to 1e-9.

    Raises:
        RuntimeError: the solver gives up.
    """
    row, own, x = int(checked.rows[index]), checked.stored[index], checked.points[index].copy()
    constraints: Floats = np.zeros((0, len(x)))
    margin, thin = np.inf, 0
    if cloud.bias:
        x[-1] = max(x[-1], 0.0)
    for _ in range(LIMIT):
        if margin <= MARGIN:
            if _leads(cloud, row, own, x):
                return True
            thin += 1
        winners = _winners(cloud, row, own, x)
        if not len(winners) or thin > THIN_ROUNDS:
            return True if margin > MARGIN else None
        lengths = np.linalg.norm(winners, axis=1)
        if not lengths.min() > 0:
            return False  # an equal row, with which it can but tie
        constraints = np.concatenate([constraints, winners / lengths[:, None]])
        if (solved := _solve(constraints, cloud.bias)) is None:
            return None
        margin, x = solved
        if margin <= NONE:
            return False
    return None


def _leads(cloud: Cloud, row: int, own: Floats, x: Floats) -> bool:
    """Return whether the stored row a_i is ahead of all others in the state of direction x, whatever is rounded."""
    state = cloud.whiten @ x
    for block in cloud.blocks():
        apart = own - block.exact()
        if block.first <= row < block.first + len(block):
            apart = np.delete(apart, row - block.first, axis=0)
        error = (len(state) + 2) * np.finfo(np.float64).eps * (np.abs(apart) @ np.abs(state))
        if not (apart @ state > error).all():
            return False
    return True


def _winners(cloud: Cloud, row: int, own: Floats, x: Floats) -> Floats:
    """Return z_i − z_j of the rows j that win most against row i, a_i, or tie in direction x; none where i is ahead."""
    found: list[Floats] = [np.zeros((0, len(x)))]
    mapped = cloud.whiten @ x
    for block in cloud.blocks():
        stored = block.exact()
        scores = stored @ mapped
        if block.first <= row < block.first + len(block):
            scores[row - block.first] = -np.inf
        at = np.argsort(-scores)[:ADDED]
        found.append((own - stored[at[scores[at] > -np.inf]]) @ cloud.whiten)
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
