"""What a parametric loss law cannot be fitted to: impossible values, and points that leave its parameters open."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.hints import closest

from .law_search import NAMES, Problem

_MIN_SPREAD = 1e-7  # columns of a Jacobian nearer to dependence than this cannot be told apart in float64
_GONE = 1e-9  # a term whose share of the loss is below this everywhere is not there


def check_points(*given: Sequence[float] | Floats) -> tuple[Floats, Floats, Floats]:
    """Return N, T and L as arrays of one length, all positive and finite."""
    parameters, tokens, loss = (np.asarray(values, dtype=np.float64) for values in given)
    if not parameters.shape == tokens.shape == loss.shape or parameters.ndim != 1:
        raise DegenError("parameters, tokens and loss must be lists of the same length")
    for name, values in (("parameters", parameters), ("tokens", tokens), ("loss", loss)):
        if len(bad := values[~(np.isfinite(values) & (values > 0))]):
            raise DegenError(f"{name} must be positive and finite, not {bad[0]:g}: leave such points out")
    return parameters, tokens, loss


def check_fixed(fixed: Mapping[str, float]) -> None:
    """Refuse names that the law has not, and values that its parameters cannot have."""
    for name, value in fixed.items():
        if name not in NAMES:
            close = closest(name, NAMES)
            hint = f"; did you mean {close}?" if close is not None else ""
            raise DegenError(f"the law has no parameter {name!r}, but {', '.join(NAMES)}{hint}")
        if not math.isfinite(value) or (name in "ABE" and value < 0):
            raise DegenError(f"{name} cannot be fixed at {value}: give a finite number{' ≥ 0' * (name in 'ABE')}")
    if all(fixed.get(name) == 0 for name in "ABE"):
        raise DegenError("A, B and E are all fixed at 0, which leaves no loss: free one of them")


def check_enough_points(count: int, free: Sequence[str]) -> None:
    """Refuse fewer points than there are free parameters, which are named."""
    if count < len(free):
        points = "1 point" if count == 1 else f"{count} points"
        raise DegenError(
            f"{points} cannot determine {len(free)} parameters ({', '.join(free)}): fix more of them or add points"
        )


def check_identifiable(problem: Problem, theta: Floats) -> None:
    """Refuse points that leave the free parameters open at θ: each by itself, then any that make up for each other."""
    _, shares = problem.log_loss(theta[None])
    for i in problem.free:
        term = "ABE"[i % 3]
        if shares[0, :, i % 3].max() < _GONE:
            also = {"A": " and alpha at anything", "B": " and beta at anything", "E": ""}[term]
            raise DegenError(
                f"the points are fitted best with {term} = 0: fix {term} at 0{also}, or fix other parameters at values "
                f"that leave room for {term}"
            )
    if not problem.free:
        return
    columns = problem.jacobian(theta[None])[0]
    length = np.maximum(np.linalg.norm(columns, axis=0), 1e-300)  # 0 for alpha where every N is 1
    _, size, axes = np.linalg.svd(columns / length, full_matrices=False)
    if size[-1] < _MIN_SPREAD:
        open_parts = np.linalg.norm(axes[size < _MIN_SPREAD], axis=0)  # of each parameter in the directions left open
        mixed = [NAMES[i] for i, part in zip(problem.free, open_parts, strict=True) if part > 0.05]
        short = f"tell {', '.join(mixed[:-1])} and {mixed[-1]} apart" if len(mixed) > 1 else f"determine {mixed[0]}"
        way = "fix one of them" if len(mixed) > 1 else "fix it"
        raise DegenError(f"these points cannot {short}: {way}, or add models of other sizes or other numbers of tokens")
