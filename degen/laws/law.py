"""The parametric loss law L(N, T) = A/N^α + B/T^β + E, and its fit to losses of trained models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError

from .law_checks import check_enough_points, check_fixed, check_identifiable, check_points
from .law_search import NAMES, Problem, best_of_starts, descend, grid_starts, is_settled

Objective = Literal["log", "linear", "huber"]

HUBER_DELTA = 1e-3


@dataclass(frozen=True)
class Law:
    """L(N, T) = A/N^α + B/T^β + E in nats per token, with N parameters and T training tokens.

    Source: Hoffmann et al. 2022, arXiv 2203.15556, approach 3.
    """

    A: float
    B: float
    E: float
    alpha: float
    beta: float

    def loss(self, parameters: Any, tokens: Any) -> Floats:
        """Return the law's loss in nats per token.

        Args:
            parameters: N, a number or an array.
            tokens: T, of a shape that goes with it.
        """
        n, t = np.asarray(parameters, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
        return np.asarray(self.A * n**-self.alpha + self.B * t**-self.beta + self.E)


HOFFMANN = Law(A=406.4, B=410.7, E=1.69, alpha=0.34, beta=0.28)


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted law and what is needed to say how sure it is.

    The free parameters are θ, A, B and E by their logarithms: so they were fitted, and so their errors are symmetric.

    Attributes:
        law: the fitted law.
        free: names of the k fitted parameters, in the order of `NAMES`.
        objective: what was made small.
        delta: where Huber's loss turns linear; None where it was not used.
        value: Σ ρ(r) at the fit.
        residuals: ln L − ln L̂, shape (n,); L − L̂ where the objective is `linear`; nats.
        jacobian: ∂ ln L̂/∂θ, n × k; ∂L̂/∂θ where `linear`.
    """

    law: Law
    free: tuple[str, ...]
    objective: Objective
    delta: float | None
    value: float
    residuals: Floats
    jacobian: Floats

    @property
    def freedom(self) -> int:
        """Degrees of freedom that the residuals have left: points less free parameters."""
        return len(self.residuals) - len(self.free)

    @property
    def scale(self) -> float | None:
        """Standard deviation of a single residual, sqrt(Σ r² / freedom); None where no freedom is left."""
        return math.sqrt(float(np.sum(self.residuals**2)) / self.freedom) if self.freedom else None

    @property
    def covariance(self) -> Floats | None:
        """Covariance of θ, k × k; None where no freedom is left.

        Formula: v·(J'J)⁻¹ with v = s² for least squares. For Huber v = E ψ²/(E ψ')² under normal residuals of standard
        deviation s, which is s² for a wide δ and s²·π/2, the price of least absolute deviations, for a narrow one.

        Source: Huber 1964, Robust estimation of a location parameter.
        """
        if self.scale is None:
            return None
        variance = self.scale**2 * (1.0 if self.delta is None else _huber_price(self.delta, self.scale))
        _, upper = np.linalg.qr(self.jacobian)
        inverse = np.linalg.inv(upper)
        return np.asarray(variance * inverse @ inverse.T)

    def log_gradient(self, parameters: Any, tokens: Any) -> Floats:
        """Return ∂ ln L̂/∂θ at n points of any N and T, n × k."""
        n = np.atleast_1d(np.asarray(parameters, dtype=np.float64))
        t = np.atleast_1d(np.asarray(tokens, dtype=np.float64))
        free = tuple(NAMES.index(name) for name in self.free)
        theta = _coordinates(self.law)
        problem = Problem(np.log(n), np.log(t), np.zeros(len(n)), False, math.inf, free, theta)
        return np.asarray(problem.jacobian(theta[None])[0])


def fit_law(
    parameters: Sequence[float] | Floats,
    tokens: Sequence[float] | Floats,
    loss: Sequence[float] | Floats,
    *,
    fixed: Mapping[str, float],
    objective: Objective = "log",
    delta: float = HUBER_DELTA,
    start: Law | None = None,
) -> Fit:
    """Fit the law to the losses of n models, with some of its parameters fixed.

    Formula: min Σ ρ(r) over the free parameters; ρ(r) = r²/2 with r = ln L̂ − ln L (`log`) or L̂ − L (`linear`), or
    Huber's loss of ln L̂ − ln L (`huber`). The best of all starts of the paper's grid; deterministic.

    Args:
        parameters: N, shape (n,).
        tokens: T, shape (n,).
        loss: L in nats per token, shape (n,).
        fixed: parameters that keep a given value, by name; A, B or E may be fixed at 0.
        objective: what is to be small.
        delta: where Huber's loss turns linear, in units of ln L.
        start: a law from which alone to search, such as the fit to points that hardly differ; None for the grid.

    Returns:
        The fit.

    Raises:
        DegenError: for values that cannot be, for too few points, and where the points cannot tell the free parameters
            apart.

    Source: Hoffmann et al. 2022, arXiv 2203.15556, approach 3 and appendix D.3; for the optimum of its grid Besiroglu
        et al. 2024, arXiv 2404.10102.
    """
    _check_objective(objective, delta)
    n, t, losses = check_points(parameters, tokens, loss)
    check_fixed(fixed)
    base = _coordinates(Law(**{name: float(fixed.get(name, 1.0)) for name in NAMES}))
    free = tuple(i for i, name in enumerate(NAMES) if name not in fixed)
    check_enough_points(len(n), [NAMES[i] for i in free])
    linear = objective == "linear"
    target = losses if linear else np.log(losses)
    bend = delta if objective == "huber" else math.inf
    problem = Problem(np.log(n), np.log(t), target, linear, bend, free, base)
    check_identifiable(problem, _ordinary(problem, float(np.log(losses).mean())))
    theta = _search(problem, start)
    check_identifiable(problem, theta)
    if not is_settled(problem, theta):
        raise DegenError("the fit does not settle on values of the free parameters: fix one of them or add points")
    return Fit(
        law=Law(**dict(fixed) | {NAMES[i]: _number(theta, i) for i in free}),
        free=tuple(NAMES[i] for i in free),
        objective=objective,
        delta=delta if objective == "huber" else None,
        value=float(problem.value(theta[None])[0]),
        residuals=-problem.residuals(theta[None])[0],
        jacobian=problem.jacobian(theta[None])[0],
    )


def _check_objective(objective: str, delta: float) -> None:
    """Refuse an objective that there is none of, and a δ that is not positive."""
    if objective not in get_args(Objective):
        raise DegenError(f"no objective {objective!r}: choose from {', '.join(get_args(Objective))}")
    if not (math.isfinite(delta) and delta > 0):
        raise DegenError(f"delta must be positive, not {delta}")


def _coordinates(law: Law) -> Floats:
    """Return (ln A, ln B, ln E, α, β)."""
    with np.errstate(divide="ignore"):  # a term that is fixed at 0
        return np.concatenate([np.log([law.A, law.B, law.E]), [law.alpha, law.beta]])


def _number(theta: Floats, i: int) -> float:
    return float(np.exp(theta[i]) if NAMES[i] in "ABE" else theta[i])


def _search(problem: Problem, start: Law | None) -> Floats:
    """Return the best θ from the grid, or from one start."""
    if start is None:
        return best_of_starts(problem, grid_starts(problem))
    theta, moves = problem.base.copy(), list(problem.free)
    theta[moves] = _coordinates(start)[moves]
    if not np.isfinite(theta[moves]).all():
        raise DegenError("a search cannot start where a free A, B or E is 0: start from a positive value")
    return np.asarray(descend(problem, descend(problem, theta[None], 40), 200, exact=True)[0])


def _ordinary(problem: Problem, level: float) -> Floats:
    """Return a θ at which every free term counts: points that leave parameters open there do so anywhere."""
    theta = problem.base.copy()
    alpha = HOFFMANN.alpha if 3 in problem.free else theta[3]
    beta = HOFFMANN.beta if 4 in problem.free else theta[4]
    usual = np.array([level + alpha * problem.x.mean(), level + beta * problem.y.mean(), level, alpha, beta])
    theta[list(problem.free)] = usual[list(problem.free)]
    return theta


def _huber_price(delta: float, scale: float) -> float:
    """Return the variance of Huber's estimate over the mean's, for normal residuals of standard deviation `scale`."""
    k = delta / scale if scale > 0 else math.inf
    inside = math.erf(k / math.sqrt(2))
    if math.isinf(k) or inside == 0:
        return 1.0 if inside else math.pi / 2
    density = math.exp(-(k**2) / 2) / math.sqrt(2 * math.pi)
    return (inside - 2 * k * density + k**2 * (1 - inside)) / inside**2
