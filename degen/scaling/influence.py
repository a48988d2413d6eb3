"""Which points a fit should not rest on: those no law of errors explains, and those that alone decide it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.laws.law import Fit, Law, fit_law

BY_CHANCE = 1 / 500  # a point is named where an error like its own would come up in fewer tables than this
REGION = 0.9  # confidence of the region beyond which one point must move a fit to be decisive
MAX_REFITS = 20  # points of highest leverage that are left out one by one
MIN_SPARE_POINTS = 3  # points beyond the number of free parameters that no search for outliers goes below


@dataclass(frozen=True)
class Influence:
    """The points that carry a fit.

    Attributes:
        outliers: positions of points too far from the law of the others, the furthest first.
        decisive: positions of points without any one of which the law is another.
        without: the law of all points but those; None where there are none, or where the rest determines no law.
    """

    outliers: tuple[int, ...]
    decisive: tuple[int, ...]
    without: Law | None

    @property
    def points(self) -> tuple[int, ...]:
        """All of them, in the order of the table."""
        return tuple(sorted({*self.outliers, *self.decisive}))


def find_influence(fit: Fit, parameters: Floats, tokens: Floats, loss: Floats, fixed: dict[str, float]) -> Influence:
    """Find the points that carry a Huber fit.

    Formula: outliers go one by one, the furthest first, so that none hides another. Huber's loss with a δ far below the
    noise is the likelihood of Laplace's errors, density exp(−|r|/b)/2b: one of n errors exceeds x with a probability
    of n·exp(−x/b) at most. x is a point's residual from the fit without it, b the mean |r| of that fit times m/(m − k).
    The last point in this order that is that improbable is an outlier, and so are those before it. Then each of the
    others with the most leverage is left out: it is decisive where the fit without it lies beyond the joint 90 %
    confidence region of the parameters. That is Cook's distance, d'C⁻¹d/k for a change d of the k free parameters with
    covariance C, above the quantile of F at k and n − k degrees of freedom.

    Args:
        fit: the fit of all points, by Huber's loss.
        parameters: N, shape (n,).
        tokens: D, shape (n,).
        loss: L in nats per token, shape (n,).
        fixed: parameters that were not fitted.

    Returns:
        The points, by position.

    Source: Cook 1977, Detection of influential observation in linear regression; for the order of outliers Rosner 1983.
    """
    model = _Refits(parameters, tokens, loss, fixed)
    found, clean, kept = _outliers(model, fit)
    decisive = _decisive(model, clean, kept) if fit.free else []
    without = clean.law if found else None
    if decisive:
        kept = kept.copy()
        kept[decisive] = False
        again = model.fit(kept, clean.law)
        without = again.law if again is not None else None
    return Influence(tuple(found), tuple(decisive), without)


@dataclass(frozen=True, eq=False)
class _Refits:
    """Fits to some of the points."""

    parameters: Floats
    tokens: Floats
    loss: Floats
    fixed: dict[str, float]

    def fit(self, kept: Floats, start: Law) -> Fit | None:
        """Return the fit to the points kept; None where they determine none."""
        rows = (self.parameters[kept], self.tokens[kept], self.loss[kept])
        try:
            return fit_law(*rows, fixed=self.fixed, objective="huber", start=start)
        except DegenError:
            return None

    def residuals(self, law: Law) -> Floats:
        """Return the residuals of all points, ln L − ln L̂."""
        return np.asarray(np.log(self.loss / law.loss(self.parameters, self.tokens)))


def _outliers(model: _Refits, fit: Fit) -> tuple[list[int], Fit, Floats]:
    """Return outliers in order, the fit without them, and which points are left."""
    kept = np.ones(len(model.loss), dtype=bool)
    order: list[int] = []
    sound, clean, last, now = 0, fit, kept.copy(), fit
    least = len(fit.free) + MIN_SPARE_POINTS
    # as many as a tenth of all points are no outliers but another law
    while len(order) < max(1, len(kept) // 10) and kept.sum() > least:
        sizes = np.where(kept, np.abs(model.residuals(now.law)), -1)
        at = int(np.argmax(sizes))
        kept[at] = False
        order.append(at)
        refitted = model.fit(kept, now.law)
        if refitted is None:
            break
        now = refitted
        left = int(kept.sum())
        off = float(np.abs(model.residuals(now.law))[at])
        usual = float(np.abs(now.residuals).mean()) * left / max(left - len(fit.free), 1)
        assert fit.delta is not None
        if off > fit.delta and (left + 1) * np.exp(-off / max(usual, 1e-300)) < BY_CHANCE:
            sound, clean, last = len(order), now, kept.copy()
        elif len(order) >= 2 * sound + 5:  # what follows lies nearer still
            break
    return order[:sound], clean, last


def _decisive(model: _Refits, fit: Fit, kept: Floats) -> list[int]:
    """Return the points left without any one of which the law is another."""
    covariance = fit.covariance
    if covariance is None:
        return []
    from scipy.stats import f as fisher

    most = len(fit.free) * float(fisher.ppf(REGION, len(fit.free), fit.freedom))
    orthogonal, _ = np.linalg.qr(fit.jacobian)
    leverage = np.sum(orthogonal**2, axis=1)
    indices = np.flatnonzero(kept)
    found = []
    for index in indices[np.argsort(-leverage, kind="stable")[:MAX_REFITS]]:
        rest = kept.copy()
        rest[index] = False
        other = model.fit(rest, fit.law)
        if other is None:  # the others leave the parameters open
            found.append(int(index))
            continue
        moved = coordinates(other.law, fit.free) - coordinates(fit.law, fit.free)
        spread = np.linalg.lstsq(covariance, moved, rcond=None)[0]
        if np.abs(model.residuals(other.law))[index] > 1e-9 and moved @ spread > most:
            found.append(int(index))
    return found


def coordinates(law: Law, free: Sequence[str]) -> Floats:
    """Return the free parameters as they were fitted: A, B and E by their logarithms."""
    return np.array([np.log(getattr(law, name)) if name in "ABE" else getattr(law, name) for name in free])
