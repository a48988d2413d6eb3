"""The parametric loss law L(N, D) = A/N^α + B/D^β + E, and its fit to losses of trained models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError

from .law_checks import check_enough_points, check_fixed, check_identifiable, check_points
from .law_search import NAMES, Problem, has_converged, minimise, search_grid

Objective = Literal["log", "linear", "huber"]

HUBER_DELTA = 1e-3


@dataclass(frozen=True)
class Law:
    """L(N, D) = A/N^α + B/D^β + E in nats per token, with N parameters and D training tokens.

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
            tokens: D, a number or an array that broadcasts with N.
        """
        n, d = np.asarray(parameters, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
        return np.asarray(self.A * n**-self.alpha + self.B * d**-self.beta + self.E)

    def coordinates(self) -> Floats:
        """Return θ = (ln A, ln B, ln E, α, β), with −∞ for a term that is 0."""
        with np.errstate(divide="ignore"):
            return np.concatenate([np.log([self.A, self.B, self.E]), [self.alpha, self.beta]])


HOFFMANN = Law(A=406.4, B=410.7, E=1.69, alpha=0.34, beta=0.28)


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted law, with its residuals and derivatives, from which intervals follow.

    θ holds the free parameters, A, B and E as logarithms: they are fitted so, and their errors are symmetric so.

    Attributes:
        law: the fitted law.
        free: names of the k fitted parameters, in the order of `NAMES`.
        objective: `log`, `linear` or `huber`; see `fit_law`.
        delta: residual at which Huber's loss turns linear; None for least squares.
        value: Σ w·ρ(r) at the fit.
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
        """Degrees of freedom of the residuals: points less free parameters."""
        return len(self.residuals) - len(self.free)

    @property
    def scale(self) -> float | None:
        """Standard deviation of a residual, sqrt(Σ r² / freedom); None without degrees of freedom."""
        return math.sqrt(float(np.sum(self.residuals**2)) / self.freedom) if self.freedom else None

    @property
    def covariance(self) -> Floats | None:
        """Covariance of θ, k × k; None without degrees of freedom.

        Formula: v·(J'J)⁻¹ with v = s² for least squares. For Huber v = E ψ²/(E ψ')² under normal residuals of standard
        deviation s, which is s² for a wide δ and s²·π/2, that of least absolute deviations, for a narrow one.

        Source: Huber 1964, Robust estimation of a location parameter.
        """
        if self.scale is None:
            return None
        variance = self.scale**2 * (1.0 if self.delta is None else _huber_variance_ratio(self.delta, self.scale))
        _, upper = np.linalg.qr(self.jacobian)
        inverse = np.linalg.inv(upper)
        return np.asarray(variance * inverse @ inverse.T)

    def log_gradient(self, parameters: Any, tokens: Any) -> Floats:
        """Return ∂ ln L̂/∂θ of the k free parameters at n pairs of N (`parameters`) and D (`tokens`), n × k."""
        x, y = (np.log(np.atleast_1d(np.asarray(values, dtype=np.float64))) for values in (parameters, tokens))
        theta = self.law.coordinates()
        free = tuple(NAMES.index(name) for name in self.free)
        return Problem(x, y, np.zeros(len(x)), False, math.inf, free, theta).jacobian(theta)


def fit_law(
    parameters: Sequence[float] | Floats,
    tokens: Sequence[float] | Floats,
    loss: Sequence[float] | Floats,
    *,
    fixed: Mapping[str, float],
    objective: Objective = "log",
    delta: float = HUBER_DELTA,
    start: Law | None = None,
    weights: Floats | None = None,
) -> Fit:
    """Fit the law to the losses of n models, with some of its parameters fixed.

    Formula: min Σ w·ρ(r) over the free parameters; ρ(r) = r²/2 with r = ln L̂ − ln L (`log`) or L̂ − L (`linear`), or
    Huber's loss of ln L̂ − ln L (`huber`). The search begins at many starts, the paper's grid, and the best end counts;
    no random numbers are used.

    Args:
        parameters: N, shape (n,).
        tokens: D, shape (n,).
        loss: L in nats per token, shape (n,).
        fixed: values of parameters that are not fitted, by name; A, B or E may be 0.
        objective: `log`, `linear` or `huber`.
        delta: residual at which Huber's loss turns linear, in ln L.
        start: the law to search from, such as the fit of nearly the same points; None for the grid.
        weights: w of each model, positive, shape (n,); None where all count alike.

    Raises:
        DegenError: a value is not positive and finite, a parameter or the objective is unknown, or the points are too
            few or too alike to determine the free parameters.

    Source: Hoffmann et al. 2022, arXiv 2203.15556, approach 3 and appendix D.3; for the optimum of its grid Besiroglu
        et al. 2024, arXiv 2404.10102.
    """
    _check_objective(objective, delta)
    n, d, losses = check_points(parameters, tokens, loss)
    check_fixed(fixed)
    base = Law(**{name: float(fixed.get(name, 1.0)) for name in NAMES}).coordinates()
    free = tuple(i for i, name in enumerate(NAMES) if name not in fixed)
    check_enough_points(len(n), [NAMES[i] for i in free])
    linear, reach = objective == "linear", delta if objective == "huber" else None
    target = losses if linear else np.log(losses)
    problem = Problem(np.log(n), np.log(d), target, linear, reach or math.inf, free, base, weights)
    check_identifiable(problem, _typical(problem, float(np.log(losses).mean())))
    theta = _search(problem, start)
    check_identifiable(problem, theta)
    if not has_converged(problem, theta):
        raise DegenError("the fit does not converge to values of the free parameters: fix one of them, or add points")
    fitted = {NAMES[i]: float(np.exp(theta[i]) if NAMES[i] in "ABE" else theta[i]) for i in free}
    return Fit(
        law=Law(**{**fixed, **fitted}),
        free=tuple(NAMES[i] for i in free),
        objective=objective,
        delta=reach,
        value=float(problem.value(theta)),
        residuals=-problem.residuals(theta),
        jacobian=problem.jacobian(theta),
    )


def _check_objective(objective: str, delta: float) -> None:
    """Refuse an unknown objective, and a δ that is not positive."""
    if objective not in get_args(Objective):
        raise DegenError(f"there is no objective {objective!r}: choose one of {', '.join(get_args(Objective))}")
    if not (math.isfinite(delta) and delta > 0):
        raise DegenError(f"delta must be positive and finite, not {delta}")


def _search(problem: Problem, start: Law | None) -> Floats:
    """Return the θ of least error, shape (5,), searched from the law `start`; from the grid where it is None."""
    if start is None:
        return search_grid(problem)
    free, theta = list(problem.free), problem.base.copy()
    theta[free] = start.coordinates()[free]
    if not np.isfinite(theta[free]).all():
        raise DegenError("the start of the search has a free A, B or E that is 0: start from positive values")
    return minimise(problem, theta)


def _typical(problem: Problem, level: float) -> Floats:
    """Return a θ, shape (5,), at which every free term of the law is about as large as the loss.

    Points that cannot determine the parameters at this θ cannot determine them at any other.

    Args:
        problem: the points and the fixed parameters.
        level: mean of ln L.
    """
    free, theta = list(problem.free), problem.base.copy()
    theta[free] = HOFFMANN.coordinates()[free]
    alpha, beta = theta[3:]
    usual = np.array([level + alpha * problem.x.mean(), level + beta * problem.y.mean(), level, alpha, beta])
    theta[free] = usual[free]
    return theta


def _huber_variance_ratio(delta: float, scale: float) -> float:
    """Return the variance of Huber's estimate over the mean's, for normal residuals of standard deviation `scale`."""
    k = delta / scale if scale > 0 else math.inf
    inside = math.erf(k / math.sqrt(2))
    if math.isinf(k) or inside == 0:
        return 1.0 if inside else math.pi / 2
    density = math.exp(-(k**2) / 2) / math.sqrt(2 * math.pi)
    return (inside - 2 * k * density + k**2 * (1 - inside)) / inside**2
