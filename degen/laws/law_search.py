"""The search for the best parametric loss law: Newton's method from many starts at once.

Hoffmann et al. start L-BFGS from a grid, one start after the other. The law is a log-sum-exp of terms linear in its
coordinates, so its exact second derivatives cost next to nothing; all starts take their steps together, which brings
the grid from minutes to seconds and the parameters to the last digits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np

from degen.arrays import Floats

NAMES = ("A", "B", "E", "alpha", "beta")  # of the coordinates' parameters, in order
# Where the search begins, coordinate by coordinate: the grid of Hoffmann et al. 2022, appendix D.3.
GRID = (
    (0.0, 5.0, 10.0, 15.0, 20.0, 25.0),  # a = ln A
    (0.0, 5.0, 10.0, 15.0, 20.0, 25.0),  # b = ln B
    (-1.0, -0.5, 0.0, 0.5, 1.0),  # e = ln E
    (0.0, 0.5, 1.0, 1.5, 2.0),  # α
    (0.0, 0.5, 1.0, 1.5, 2.0),  # β
)
_TERM = np.array([0, 1, 2, 0, 1])  # the term of the sum that each coordinate moves
_SAME = _TERM[:, None] == _TERM[None, :]
_AT_ONCE = 500  # starts whose derivatives are held in memory together
_LEAP = 2.0  # most that a step may change a term of the sum, as a factor's logarithm
_FLAT = 1e-6  # exact curvature, as a share of the safe one, below which a step is not lengthened further
_LEAST = 1e-12  # curvature below this share of the largest is taken for none


@dataclass(frozen=True)
class Problem:
    """Points to fit, which coordinates may move, and what is to be small.

    Formula: Σ ρ(r) with r = ln L̂ − ln L, or L̂ − L where `linear`; ρ(r) = r²/2 up to |r| = δ, δ(|r| − δ/2) beyond.
    Coordinates θ = (ln A, ln B, ln E, α, β).

    Attributes:
        x: ln N of the n points, shape (n,).
        y: ln T, shape (n,).
        target: ln L, or L where `linear`, shape (n,); nats.
        linear: whether residuals are differences of losses, not of their logarithms.
        delta: where Huber's loss turns linear; infinity for least squares.
        free: indices of the k coordinates that may move.
        base: θ with the fixed coordinates in place, shape (5,); −∞ for a term that is fixed at 0.
    """

    x: Floats
    y: Floats
    target: Floats
    linear: bool
    delta: float
    free: tuple[int, ...]
    base: Floats

    def log_loss(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return the law at every point, for many θ.

        Args:
            theta: S × 5.

        Returns:
            ln L̂, S × n, and the share of each term in L̂, S × n × 3.
        """
        a, b, e, alpha, beta = (c[:, None] for c in theta.T)
        terms = np.stack([a - alpha * self.x, b - beta * self.y, e + 0 * self.x], axis=-1)
        top = terms.max(axis=-1, keepdims=True)
        shares = np.exp(terms - top)
        total = shares.sum(axis=-1, keepdims=True)
        return (top + np.log(total))[..., 0], shares / total

    def residuals(self, theta: Floats) -> Floats:
        """Return the residuals r for S many θ, S × n."""
        return np.asarray(self._fitted(self.log_loss(theta)[0]) - self.target)

    def value(self, theta: Floats) -> Floats:
        """Return Σ ρ(r) for S many θ, shape (S,)."""
        size = np.abs(self.residuals(theta))
        inner = np.minimum(size, self.delta)
        return np.asarray((inner * (size - inner / 2)).sum(axis=-1))

    def jacobian(self, theta: Floats) -> Floats:
        """Return ∂r/∂θ of the free coordinates for S many θ, S × n × k."""
        log_loss, shares = self.log_loss(theta)
        slopes = shares[..., _TERM[list(self.free)]] * self.slopes()
        return slopes * np.exp(log_loss)[..., None] if self.linear else slopes

    def derivatives(self, theta: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the gradient and two curvatures of Σ ρ(r) in the free coordinates, for S many θ.

        Returns:
            gradient, S × k; a curvature that never lies below (Gauss and Newton's, each point weighted by ρ'(r)/r) and
            is positive; the exact one, which may be neither; both S × k × k.
        """
        log_loss, shares = self.log_loss(theta)
        fitted = self._fitted(log_loss)
        slopes, own = self.slopes(), shares[..., _TERM[list(self.free)]]
        own = own * slopes
        change = own * fitted[..., None] if self.linear else own
        residual = fitted - self.target
        pull = np.clip(residual, -self.delta, self.delta)
        weight = np.minimum(1.0, self.delta / np.maximum(np.abs(residual), 1e-300))
        inside = (np.abs(residual) <= self.delta).astype(np.float64)
        turned = np.swapaxes(change, 1, 2)
        gradient = (turned @ pull[..., None])[..., 0]
        safe = turned @ (change * weight[..., None])
        # second derivatives of a log-sum-exp: Σ share·slope·slope' of the same term, less the product of the gradients
        same = _SAME[np.ix_(self.free, self.free)]
        bend = np.where(same, np.swapaxes(change * pull[..., None], 1, 2) @ slopes, 0.0)
        if not self.linear:
            bend = bend - turned @ (change * pull[..., None])
        return gradient, safe, turned @ (change * inside[..., None]) + bend

    def slopes(self) -> Floats:
        """Return ∂(term)/∂θ of the free coordinates, n × k."""
        one = np.ones_like(self.x)
        return np.stack([one, one, one, -self.x, -self.y], axis=-1)[:, list(self.free)]

    def _fitted(self, log_loss: Floats) -> Floats:
        return np.exp(log_loss) if self.linear else log_loss


def grid_starts(problem: Problem) -> Floats:
    """Return every combination of the grid over the free coordinates, S × 5."""
    axes: list[Iterable[float]] = [
        GRID[i] if i in problem.free else (float(problem.base[i]),) for i in range(len(problem.base))
    ]
    return np.array(list(product(*axes)), dtype=np.float64)


def best_of_starts(problem: Problem, starts: Floats) -> Floats:
    """Return the best θ that any start leads to, shape (5,).

    All starts take a few safe steps, the best tenth more of them, the best of these go to the bottom.
    """
    found = _ranked(problem, descend(problem, starts, 15))[: max(200, len(starts) // 20)]
    found = _ranked(problem, descend(problem, found, 40))[:32]
    return np.asarray(_ranked(problem, descend(problem, found, 200, exact=True))[0])


def descend(problem: Problem, starts: Floats, rounds: int, exact: bool = False) -> Floats:
    """Take damped Newton steps from each start; no step leads up.

    Formula: Δ = −W (|Λ| + λ)⁻¹ W'g, with W whitening the safe curvature and Λ the exact one seen through it (the
    identity where not `exact`); λ falls after a step that led down and rises after one that would not.

    Args:
        problem: what is to be small.
        starts: S × 5.
        rounds: most steps to take.
        exact: whether to use the exact curvature: fast near the bottom, of no help far from it.

    Returns:
        Where each start led, S × 5.

    Source: Levenberg 1944; Marquardt 1963; for |Λ| Dauphin et al. 2014.
    """
    if not problem.free:
        return starts
    parts = np.split(starts, range(_AT_ONCE, len(starts), _AT_ONCE))
    with np.errstate(all="ignore"):  # a step too far overflows; its value is then no number, and it is not taken
        return np.concatenate([_descend(problem, part, rounds, exact) for part in parts])


def is_settled(problem: Problem, theta: Floats) -> bool:
    """Return whether the next full Newton step from θ would be far below the noise of the fit, or below rounding."""
    if not problem.free:
        return True
    gradient, safe, curved = problem.derivatives(theta[None])
    white = _whitening(safe)[0]
    size, axes = np.linalg.eigh(white.T @ curved[0] @ white)
    step = (axes.T @ white.T @ gradient[0]) / np.maximum(np.abs(size), _FLAT)
    residual = problem.residuals(theta[None])[0]
    noise = np.sum(np.abs(residual) * np.minimum(np.abs(residual), problem.delta))
    return bool(np.linalg.norm(step) <= 1e-6 * np.sqrt(noise) + 1e-11 * np.linalg.norm(problem.target))


def _descend(problem: Problem, starts: Floats, rounds: int, exact: bool) -> Floats:
    theta, free = starts.copy(), list(problem.free)
    value, damping = problem.value(theta), np.full(len(theta), 1e-2)
    for _ in range(rounds):
        step = _step(problem, theta, damping, exact)
        trial = theta.copy()
        trial[:, free] += step
        reached = problem.value(trial)
        down = reached <= value
        theta[down], value[down] = trial[down], reached[down]
        damping = np.clip(np.where(down, damping / 5, damping * 5), 1e-12, 1e12)
        if np.all(np.abs(step) <= 1e-13 * (1 + np.abs(theta[:, free]))):
            break
    return theta


def _step(problem: Problem, theta: Floats, damping: Floats, exact: bool) -> Floats:
    """Return one damped Newton step of every θ in the free coordinates, S × k; none where derivatives overflow."""
    gradient, safe, curved = problem.derivatives(theta)
    usable = np.isfinite(gradient).all(1) & np.isfinite(safe).all((1, 2)) & np.isfinite(curved).all((1, 2))
    step = np.zeros_like(gradient)
    if not usable.any():
        return step
    white = _whitening(safe[usable])
    seen = np.swapaxes(white, 1, 2)
    if exact:
        size, axes = np.linalg.eigh(seen @ curved[usable] @ white)
        white, size = white @ axes, np.maximum(np.abs(size), _FLAT)
    else:
        size = np.ones(white.shape[:2])
    along = np.swapaxes(white, 1, 2) @ gradient[usable][..., None]
    step[usable] = -(white @ (along / (size + damping[usable, None])[..., None]))[..., 0]
    leap = np.abs(step[:, None, :] * problem.slopes()).max(axis=(1, 2))
    return np.asarray(step * np.minimum(1.0, _LEAP / np.maximum(leap, 1e-300))[:, None])


def _whitening(curvature: Floats) -> Floats:
    """Return W with W' C W = 1 for each positive C, S × k × k, but for directions in which C is flat."""
    scale = np.sqrt(np.maximum(np.diagonal(curvature, axis1=1, axis2=2), 1e-200))
    size, axes = np.linalg.eigh(curvature / (scale[:, :, None] * scale[:, None, :]))
    return np.asarray(axes / scale[:, :, None] / np.sqrt(np.maximum(size, _LEAST))[:, None, :])


def _ranked(problem: Problem, theta: Floats) -> Floats:
    """Return the θ in ascending order of Σ ρ(r), those without a value last."""
    with np.errstate(all="ignore"):
        value = problem.value(theta)
    return np.asarray(theta[np.argsort(np.where(np.isnan(value), np.inf, value), kind="stable")])
