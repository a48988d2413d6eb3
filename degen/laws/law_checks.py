"""Refuse input that a loss law cannot be fitted to: impossible values, points that do not determine its parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.hints import closest

from .law_search import NAMES, Problem

_MIN_SPREAD = 1e-7  # smallest singular value of a Jacobian of unit columns that float64 distinguishes from 0
_MIN_SHARE = 1e-9  # a term whose share of the loss is below this at every point counts as 0


def check_points(*columns: Sequence[float] | Floats) -> tuple[Floats, Floats, Floats]:
    """Return the three columns N, D and L as float64 arrays of one length, after checking them.

    Raises:
        DegenError: the columns differ in length, or a value is not positive and finite.
    """
    parameters, tokens, loss = (np.asarray(values, dtype=np.float64) for values in columns)
    if not parameters.shape == tokens.shape == loss.shape or parameters.ndim != 1:
        raise DegenError("parameters, tokens and loss must be lists of the same length")
    for name, values in (("parameters", parameters), ("tokens", tokens), ("loss", loss)):
        if len(bad := values[~(np.isfinite(values) & (values > 0))]):
            raise DegenError(f"{name} must be positive and finite, not {bad[0]:g}: leave such points out")
    return parameters, tokens, loss


def check_fixed(fixed: Mapping[str, float]) -> None:
    """Refuse fixed parameters that the law does not have, or that have a value which they cannot have.

    Args:
        fixed: name of the parameter -> the value at which it is fixed.

    Raises:
        DegenError: a name is unknown, a value is not finite, A, B or E is negative, or all three are 0.
    """
    for name, value in fixed.items():
        if name not in NAMES:
            close = closest(name, NAMES)
            hint = f"; did you mean {close}?" if close is not None else ""
            raise DegenError(f"the law has no parameter {name!r}; its parameters are {', '.join(NAMES)}{hint}")
        if not math.isfinite(value) or (name in "ABE" and value < 0):
            raise DegenError(f"{name} cannot be fixed at {value}: give a finite number{' ≥ 0' * (name in 'ABE')}")
    if all(fixed.get(name) == 0 for name in "ABE"):
        raise DegenError("A, B and E are all fixed at 0, so that the loss is 0: do not fix all three")


def check_enough_points(count: int, free: Sequence[str]) -> None:
    """Refuse a number `count` of points that is smaller than that of the free parameters, which `free` names."""
    if count < len(free):
        points = "1 point" if count == 1 else f"{count} points"
        raise DegenError(
            f"{points} cannot determine {len(free)} parameters ({', '.join(free)}): fix some of them, or add points"
        )


def check_identifiable(problem: Problem, theta: Floats) -> None:
    """Refuse points that do not determine the free parameters at θ.

    Raises:
        DegenError: a free term of the law is 0 at θ, or a change of some free parameters can be undone by others.
    """
    _, shares = problem.log_loss(theta)
    for i in problem.free:
        term = "ABE"[i % 3]
        if shares[i % 3].max() < _MIN_SHARE:
            also = {"A": " and alpha at anything", "B": " and beta at anything", "E": ""}[term]
            raise DegenError(
                f"the points are fitted best with {term} = 0: fix {term} at 0{also}, "
                f"or fix other parameters at values with which {term} is above 0"
            )
    if not problem.free:
        return
    columns = problem.jacobian(theta)
    length = np.maximum(np.linalg.norm(columns, axis=0), 1e-300)  # 0 for alpha where every N is 1
    _, size, axes = np.linalg.svd(columns / length, full_matrices=False)
    if size[-1] < _MIN_SPREAD:
        weights = np.linalg.norm(axes[size < _MIN_SPREAD], axis=0)  # of each parameter in the undetermined directions
        names = [NAMES[i] for i, weight in zip(problem.free, weights, strict=True) if weight > 0.05]
        several = len(names) > 1
        fault = f"tell {', '.join(names[:-1])} and {names[-1]} apart" if several else f"determine {names[0]}"
        raise DegenError(
            f"these points cannot {fault}: fix {'one of them' if several else 'it'}, or add models of other sizes or "
            "other numbers of tokens"
        )
