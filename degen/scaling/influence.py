"""Points that a fit should not rest on: outliers, and single points that decide it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats, Mask
from degen.errors import DegenError
from degen.laws.law import Fit, Law, fit_law
from degen.laws.law_search import NAMES

MAX_CHANCE = 1 / 500  # share of tables without outliers in which noise alone may make one
REGION = 0.9  # confidence of the region that a fit must leave, without a point, for the point to be decisive
MAX_REFITS = 20  # points of highest leverage that are left out one by one
MIN_SPARE_POINTS = 3  # points beyond the number of free parameters that the search for outliers always keeps


@dataclass(frozen=True)
class Influence:
    """The points that decide a fit.

    Attributes:
        outliers: indices of points too far from the law of the others, the farthest first.
        decisive: indices of points each of which, left out, changes the law significantly.
        without: the law of all other points; None where there are no such points, or the others determine no law.
    """

    outliers: tuple[int, ...]
    decisive: tuple[int, ...]
    without: Law | None

    @property
    def points(self) -> tuple[int, ...]:
        """The indices of outliers and decisive points together, ascending."""
        return tuple(sorted({*self.outliers, *self.decisive}))


def find_influence(fit: Fit, parameters: Floats, tokens: Floats, loss: Floats, fixed: dict[str, float]) -> Influence:
    """Find the outliers and the decisive points of a Huber fit.

    Formula: points are left out one by one, the furthest first, so that no outlier hides another. Huber's loss with a δ
    far below the noise is the likelihood of Laplace errors, density exp(−|r|/b)/2b: one of n errors exceeds x with a
    probability of at most n·exp(−x/b). x is a point's residual from the fit without it, b the mean |r| of that fit
    times m/(m − k). The last point in this order with a probability below 1/500 is an outlier, and so are those before
    it. Then each of the other points of most leverage is left out: it is decisive where the fit without it lies outside
    the joint 90 % confidence region of the parameters, that is where Cook's distance, d'C⁻¹d/k for a change d of the k
    free parameters with covariance C, exceeds the quantile of F at k and n − k degrees of freedom.

    Args:
        fit: the fit of all points, by Huber's loss.
        parameters: N, shape (n,).
        tokens: D, shape (n,).
        loss: L in nats per token, shape (n,).
        fixed: values of the parameters that were not fitted, by name.

    Source: Cook 1977, Detection of influential observation in linear regression; for the order of outliers Rosner 1983.
    """
    refits = _Refits(parameters, tokens, loss, fixed)
    outliers, clean, included = _outliers(refits, fit)
    decisive = _decisive(refits, clean, included) if fit.free else []
    without = clean.law if outliers else None
    if decisive:
        included[decisive] = False
        refit = refits.fit(included, clean.law)
        without = refit.law if refit is not None else None
    return Influence(tuple(outliers), tuple(decisive), without)


@dataclass(frozen=True, eq=False)
class _Refits:
    """Fits to subsets of the points."""

    parameters: Floats
    tokens: Floats
    loss: Floats
    fixed: dict[str, float]

    def fit(self, included: Mask, start: Law) -> Fit | None:
        """Return the fit to the included points; None where they do not determine it."""
        rows = (self.parameters[included], self.tokens[included], self.loss[included])
        try:
            return fit_law(*rows, fixed=self.fixed, objective="huber", start=start)
        except DegenError:
            return None

    def residuals(self, law: Law) -> Floats:
        """Return the residuals ln L − ln L̂ of all points from the law `law`."""
        return np.asarray(np.log(self.loss / law.loss(self.parameters, self.tokens)))


def _outliers(refits: _Refits, fit: Fit) -> tuple[list[int], Fit, Mask]:
    """Return the indices of the outliers, the farthest first; the fit without them; and a mask of the other points."""
    included = np.ones(len(refits.loss), dtype=bool)
    order: list[int] = []
    count, clean, clean_mask, latest = 0, fit, included.copy(), fit
    least = len(fit.free) + MIN_SPARE_POINTS
    # more than a tenth of all points are no outliers but follow another law
    while len(order) < max(1, len(included) // 10) and included.sum() > least:
        furthest = int(np.argmax(np.where(included, np.abs(refits.residuals(latest.law)), -1)))
        included[furthest] = False
        order.append(furthest)
        refit = refits.fit(included, latest.law)
        if refit is None:
            break
        latest = refit
        left = int(included.sum())
        distance = float(np.abs(refits.residuals(latest.law))[furthest])
        noise = float(np.abs(latest.residuals).mean()) * left / max(left - len(fit.free), 1)
        assert fit.delta is not None
        if distance > fit.delta and (left + 1) * np.exp(-distance / max(noise, 1e-300)) < MAX_CHANCE:
            count, clean, clean_mask = len(order), latest, included.copy()
        elif len(order) >= 2 * count + 5:  # the points that follow are nearer still
            break
    return order[:count], clean, clean_mask


def _decisive(refits: _Refits, fit: Fit, included: Mask) -> list[int]:
    """Return the indices of those included points each of which, left out, changes the law significantly.

    Args:
        refits: fits to subsets of the points.
        fit: the fit to the included points.
        included: a mask of the points that are no outliers.
    """
    covariance = fit.covariance
    if covariance is None:
        return []
    from scipy.stats import f as fisher

    bound = len(fit.free) * float(fisher.ppf(REGION, len(fit.free), fit.freedom))
    orthogonal, _ = np.linalg.qr(fit.jacobian)
    leverage = np.sum(orthogonal**2, axis=1)
    free = [NAMES.index(name) for name in fit.free]
    decisive = []
    for index in np.flatnonzero(included)[np.argsort(-leverage, kind="stable")[:MAX_REFITS]]:
        rest = included.copy()
        rest[index] = False
        refit = refits.fit(rest, fit.law)
        if refit is None:  # the other points do not determine the parameters
            decisive.append(int(index))
            continue
        change = refit.law.coordinates()[free] - fit.law.coordinates()[free]
        distance = change @ np.linalg.lstsq(covariance, change, rcond=None)[0]
        if np.abs(refits.residuals(refit.law))[index] > 1e-9 and distance > bound:
            decisive.append(int(index))
    return decisive
