"""The search for the parametric loss law of least error: scipy's least squares from the best starts of a grid."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError

NAMES = ("A", "B", "E", "alpha", "beta")  # of the coordinates' parameters, in order
# Where the search begins, coordinate by coordinate: the grid of Hoffmann et al. 2022, appendix D.3.
GRID = (
    (0.0, 5.0, 10.0, 15.0, 20.0, 25.0),  # a = ln A
    (0.0, 5.0, 10.0, 15.0, 20.0, 25.0),  # b = ln B
    (-1.0, -0.5, 0.0, 0.5, 1.0),  # e = ln E
    (0.0, 0.5, 1.0, 1.5, 2.0),  # α
    (0.0, 0.5, 1.0, 1.5, 2.0),  # β
)
_TERM = (0, 1, 2, 0, 1)  # the term of the law that each coordinate belongs to
_CHUNK = 500  # starts that are evaluated together, so that memory stays small
_SEARCHES = 8  # starts of least error that are followed, of the grid and of the balanced starts each
_EXPONENTS = (-0.5, 0.0, 0.25, 0.5, 1.0)  # of balanced starts: losses that rise have negative ones
_MAX_OFFSET = 1e-5  # share of the residuals that a linear step could still remove from a fit that has converged


@dataclass(frozen=True)
class Problem:
    """The points to fit, the coordinates that are free, and the error to minimise.

    Formula: Σ w·ρ(r) with r = ln L̂ − ln L, or L̂ − L where `linear`; ρ(r) = r²/2 up to |r| = δ, δ(|r| − δ/2) beyond.
    Coordinates θ = (ln A, ln B, ln E, α, β).

    Attributes:
        x: ln N of the n points, shape (n,).
        y: ln D, shape (n,).
        target: ln L, or L where `linear`, shape (n,); nats.
        linear: whether residuals are differences of losses, not of their logarithms.
        delta: residual at which Huber's loss turns linear; infinity for least squares.
        free: indices of the k coordinates to fit.
        base: θ with the fixed coordinates in place, shape (5,); −∞ for a term that is fixed at 0.
        weights: w of each point, positive, shape (n,); None where all are 1.
    """

    x: Floats
    y: Floats
    target: Floats
    linear: bool
    delta: float
    free: tuple[int, ...]
    base: Floats
    weights: Floats | None = None

    def log_loss(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return the law's ln L̂ at every point, for one θ of shape (5,) or for S of them, S × 5.

        Returns:
            ln L̂, (S ×) n, and the share of each term in L̂, 3 × (S ×) n.
        """
        a, b, e, alpha, beta = np.moveaxis(theta, -1, 0)[..., None]
        terms = np.stack([a - alpha * self.x, b - beta * self.y, e + 0 * self.x])
        total = np.logaddexp(np.logaddexp(terms[0], terms[1]), terms[2])
        return total, np.exp(terms - total)

    def residuals(self, theta: Floats) -> Floats:
        """Return the residuals r, shape (n,) for one θ, S × n for S of them."""
        fitted, _ = self.log_loss(theta)
        return np.asarray((np.exp(fitted) if self.linear else fitted) - self.target)

    def value(self, theta: Floats) -> Floats:
        """Return the error Σ w·ρ(r), a scalar for one θ, shape (S,) for S of them."""
        size = np.abs(self.residuals(theta))
        inner = np.minimum(size, self.delta)
        errors = inner * (size - inner / 2)
        return np.asarray((errors if self.weights is None else errors * self.weights).sum(axis=-1))

    def scipy_loss(self, z: Floats) -> Floats:
        """Return 2w·ρ/δ² and its first two derivatives by z = (r/δ)², 3 × n, as scipy's least squares takes a loss.

        With an infinite δ, for least squares, z is r² and the first row w·r².
        """
        weights = np.ones_like(z) if self.weights is None else self.weights
        far = z > 1 if math.isfinite(self.delta) else np.zeros_like(z, dtype=bool)
        root = np.sqrt(np.where(far, z, 1.0))
        rows = [np.where(far, 2 * root - 1, z), np.where(far, 1 / root, 1.0), np.where(far, -0.5 / root**3, 0.0)]
        return np.asarray(weights * np.stack(rows))

    def jacobian(self, theta: Floats) -> Floats:
        """Return the derivatives ∂r/∂θ of the residuals by the k free coordinates, at one θ: n × k."""
        log_loss, shares = self.log_loss(theta)
        one = np.ones_like(self.x)
        slopes = (one, one, one, -self.x, -self.y)
        columns = np.array([shares[_TERM[i]] * slopes[i] for i in self.free]).reshape(len(self.free), len(one))
        return np.asarray((columns * np.exp(log_loss) if self.linear else columns).T)


def grid_starts(problem: Problem) -> Floats:
    """Return the starts of the search, S × 5: every combination of the grid's values of the free coordinates."""
    axes: list[Iterable[float]] = [
        GRID[i] if i in problem.free else (float(problem.base[i]),) for i in range(len(problem.base))
    ]
    return np.array(list(product(*axes)), dtype=np.float64)


def balanced_starts(problem: Problem) -> Floats:
    """Return further starts of the search, S × 5, at which every free term is as large as the mean loss.

    They are needed because at many starts of the grid a term has vanished, so that no step can find its parameters.
    """
    level = float((np.log(problem.target) if problem.linear else problem.target).mean())
    starts = []
    for alpha, beta in product(_EXPONENTS, _EXPONENTS):
        exponents = [alpha if 3 in problem.free else problem.base[3], beta if 4 in problem.free else problem.base[4]]
        means = [float(problem.x.mean()), float(problem.y.mean()), 0.0]
        scales = [level + power * mean for power, mean in zip([*exponents, 0.0], means, strict=True)]
        starts.append([*scales, *exponents])
    return np.where(np.isin(np.arange(5), problem.free), np.array(starts), problem.base)


def search_grid(problem: Problem) -> Floats:
    """Return the θ of least error, shape (5,), that a search from the best of all starts ends at.

    Raises:
        DegenError: the law has no finite error at any start.
    """
    ends = []
    for starts in (grid_starts(problem), balanced_starts(problem)):
        with np.errstate(all="ignore"):  # a start may overflow; its error is then no number, and it is not followed
            errors = np.concatenate([problem.value(starts[i : i + _CHUNK]) for i in range(0, len(starts), _CHUNK)])
        order = np.argsort(errors, kind="stable")[:_SEARCHES]
        ends += [minimise(problem, starts[i], 1e-9, 100) for i in order if np.isfinite(errors[i])]
    if not ends:
        raise DegenError(
            "with these fixed parameters no start of the search gives a finite loss: fix them at other values"
        )
    return minimise(problem, ends[int(np.argmin([problem.value(end) for end in ends]))])


def minimise(problem: Problem, start: Floats, tolerance: float = 1e-15, evaluations: int = 500) -> Floats:
    """Return the θ, shape (5,), at which a search for the least error ends that begins at `start`.

    Args:
        problem: the points and the error.
        start: θ at which the error is finite, shape (5,).
        tolerance: the search ends where the error and θ change by less than this share.
        evaluations: how many times the law is evaluated at most.
    """
    from scipy.optimize import least_squares

    if not problem.free:
        return start
    free, huber = list(problem.free), math.isfinite(problem.delta)
    usual = "huber" if huber else "linear"
    loss: Any = usual if problem.weights is None else problem.scipy_loss

    def theta(p: Floats) -> Floats:
        full = problem.base.copy()
        full[free] = p
        return full

    with np.errstate(all="ignore"):  # a step too far overflows, and scipy tries a shorter one
        fit = least_squares(
            lambda p: problem.residuals(theta(p)), start[free], lambda p: problem.jacobian(theta(p)),
            x_scale="jac", loss=loss, f_scale=problem.delta if huber else 1.0,
            xtol=tolerance, ftol=tolerance, gtol=tolerance, max_nfev=evaluations,
        )  # fmt: skip
    return theta(fit.x)


def has_converged(problem: Problem, theta: Floats) -> bool:
    """Return whether θ is a minimum of the error, to a small tolerance.

    There the residuals are orthogonal to every direction in which the free coordinates can move them.

    Formula: ‖Q'√v·r‖ ≤ 1e-5·‖√v·r‖, with Q an orthonormal basis of √v·∂r/∂θ and v = w·ρ'(r)/r.

    Source: Bates and Watts 1981, A relative offset orthogonality convergence criterion for nonlinear least squares.
    """
    if not problem.free:
        return True
    residual = problem.residuals(theta)
    root = np.sqrt(np.minimum(1.0, problem.delta / np.maximum(np.abs(residual), 1e-300)))
    if problem.weights is not None:
        root = root * np.sqrt(problem.weights)
    basis, _ = np.linalg.qr(root[:, None] * problem.jacobian(theta))
    rounding = 1e-11 * np.linalg.norm(problem.target)
    return bool(np.linalg.norm(basis.T @ (root * residual)) <= _MAX_OFFSET * np.linalg.norm(root * residual) + rounding)
