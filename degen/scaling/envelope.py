"""Approach 1 of Hoffmann et al.: the lower envelope of training curves, and power laws of the models on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats, Ints
from degen.errors import DegenError
from degen.stats.bootstrap import Bootstrap, run_bootstrap
from degen.stats.power_law import fit_power

from .loss_curves import ComputeCurve, compute_curves
from .optimum import OptimumFit, PlotSeries, check_grows, optimum_constants
from .points import Points
from .result import Row

BUDGETS = 1500  # log-spaced, as in the paper
MIN_SIZES = 4
MAX_SIZE_RATIO = 4.0  # sizes within this factor of the middle one enter its parabola; its two neighbours always do
ROUNDS = 2  # times that the parabolas are centred anew by the law fitted to the last ones


def fit_envelope(points: Points, bootstrap: Bootstrap, budgets: int = BUDGETS) -> OptimumFit:
    """Fit power laws to the best size at each of many budgets, from training curves.

    Formula: at each of 1,500 log-spaced budgets the size of lowest loss among all training curves; then ln N_opt and
    ln D_opt linear in ln C. Curves are smoothed first, as in the paper. Two steps go beyond the paper. A budget counts
    only where the next smaller and the next larger size were trained to it as well: elsewhere the lowest loss shows
    only that the best size lies at or beyond the last one, which flattens the law. And as sizes lie far apart, the best
    size is the lowest point of a parabola in ln N through these three and all others within a factor of four; after the
    first fit, the parabola is centred on the size nearest to the fitted law, so that noise in the lowest loss does not
    select the budgets.

    Args:
        points: with a row for each checkpoint of several models.
        bootstrap: of the intervals, from residuals of each curve about its smoothed self. How much a model would differ
            if it were trained again cannot be seen from one curve.
        budgets: number of budgets.

    Raises:
        DegenError: the points hold no training curves, or too few sizes for an envelope.

    Source: Hoffmann et al. 2022, arXiv 2203.15556, section 3.1.
    """
    curves = compute_curves(points)
    sizes = sorted({curve.size for curve in curves})
    if len(sizes) < MIN_SIZES:
        has = "1 size has" if len(sizes) == 1 else f"{len(sizes)} sizes have"
        raise DegenError(
            f"{points.path}: only {has} a training curve, and an envelope needs {MIN_SIZES}: add models of other sizes"
        )
    first, last = min(curve.x[0] for curve in curves), max(curve.x[-1] for curve in curves)
    log_flops = np.linspace(first, last, budgets)
    envelope = _envelope(curves, log_flops, None)
    if envelope.centres < 2:
        raise DegenError(
            f"{points.path}: fewer than two sizes are the best ones at some compute to which a smaller and a "
            "larger size were trained as well; train the models to more similar compute, or add sizes"
        )
    constants = optimum_constants(envelope.flops, envelope.size, envelope.tokens)
    check_grows(constants, points.path)

    def refit(draw: np.random.Generator) -> Mapping[str, float]:
        resampled = _envelope(curves, log_flops, [curve.resample(draw) for curve in curves])
        if resampled.centres < 2:
            raise DegenError("fewer than two sizes are the best ones at some compute")
        return optimum_constants(resampled.flops, resampled.size, resampled.tokens)

    rows = envelope.rows(sizes)
    draws = run_bootstrap(bootstrap, refit, points=sum(len(curve.x) for curve in curves), free=2)
    warnings = []
    if len(rows) < budgets / 10:
        warnings.append(
            f"only {len(rows)} of {budgets} budgets have a best size between two other sizes; train more sizes"
        )
    if any(curve.smoother is None for curve in curves) and bootstrap.draws:
        warnings.append("some curves have too few checkpoints to estimate their noise; the intervals do not include it")
    series = [
        PlotSeries(curve.name, np.exp(curve.x), np.exp(curve.y), (np.exp(curve.x), np.exp(curve.at(curve.x))))
        for curve in curves
    ]
    return OptimumFit("envelope", f"{len(rows)} of {budgets} budgets", rows, constants, draws, warnings, series)


@dataclass(frozen=True, eq=False)
class _Envelope:
    """The best model at each budget that has one, as arrays of one length."""

    flops: Floats
    size: Floats
    tokens: Floats
    loss: Floats
    winner: Ints  # index of the size of lowest loss
    centres: int  # number of different sizes that the parabolas are centred on

    def rows(self, sizes: Sequence[float]) -> list[Row]:
        """Return a row for each budget, with its best model and the trained size of lowest loss.

        Args:
            sizes: the trained sizes, N.
        """
        columns = (self.flops, self.size, self.tokens, self.loss, self.winner)
        return [
            {"flops": float(c), "parameters": float(n), "tokens": float(d), "tokens_per_parameter": float(d / n),
             "loss": float(loss), "lowest": sizes[winner]}
            for c, n, d, loss, winner in zip(*columns, strict=True)
        ]  # fmt: skip


def _envelope(curves: Sequence[ComputeCurve], log_flops: Floats, resampled: Sequence[Floats] | None) -> _Envelope:
    """Return the best model at each budget that has one: the lower envelope of the curves.

    Args:
        curves: the training curves.
        log_flops: ln C of the budgets.
        resampled: for each curve the ln L of its checkpoints to use instead of its own; None to use its own.
    """
    sizes = np.unique([curve.size for curve in curves])
    table = np.full((len(sizes), len(log_flops)), np.inf)
    per_token = np.zeros(len(sizes))
    for i, curve in enumerate(curves):
        row = int(np.searchsorted(sizes, curve.size))
        values = curve.at(log_flops, None if resampled is None else resampled[i])
        table[row] = np.fmin(table[row], values)  # two models of one size: the better
        per_token[row] = np.log(curve.per_token)
    x, winner = np.log(sizes), table.argmin(axis=0)
    centre = winner
    for last in (False,) * ROUNDS + (True,):
        inner = np.flatnonzero((centre > 0) & (centre < len(sizes) - 1))
        neighbours = np.stack([table[centre[inner] + step, inner] for step in (-1, 0, 1)])
        used = inner[np.isfinite(neighbours).all(axis=0)]
        size, loss = _lowest(x, table[:, used], centre[used])
        valid = np.isfinite(size)
        used, size, loss = used[valid], size[valid], loss[valid]
        if last or len(np.unique(centre[used])) < 2:
            break
        # centred by the law so far: by the lowest losses themselves, noise would select the budgets
        law = fit_power(np.exp(log_flops[used]), np.exp(size), "compute")
        expected = law.log_coefficient + law.exponent * log_flops
        centre = np.abs(x[:, None] - expected).argmin(axis=0)
    tokens = log_flops[used] - np.interp(size, x, per_token)
    return _Envelope(
        np.exp(log_flops[used]), np.exp(size), np.exp(tokens), np.exp(loss), winner[used], len(np.unique(centre[used]))
    )


def _lowest(x: Floats, table: Floats, centre: Ints) -> tuple[Floats, Floats]:
    """Return ln N and ln L at the lowest point of the parabola of every budget; NaN where it has none.

    Args:
        x: ln N of the sizes, ascending, shape (s,).
        table: ln L, s × budgets, infinite where a size was not trained.
        centre: index of the size in the middle at every budget; it and its two neighbours were trained.
    """
    size, loss = np.full(table.shape[1], np.nan), np.full(table.shape[1], np.nan)
    near = np.abs(x[:, None] - x[centre]) <= np.log(MAX_SIZE_RATIO)
    for step in (-1, 0, 1):
        near[centre + step, np.arange(len(centre))] = True
    near &= np.isfinite(table)
    groups, member = np.unique(np.concatenate([centre[None], near]), axis=1, return_inverse=True)
    for group, pattern in enumerate(groups.T):
        budgets, used, middle = np.flatnonzero(member.reshape(-1) == group), pattern[1:].astype(bool), x[pattern[0]]
        z = x[used] - middle
        level, slope, curvature = np.linalg.lstsq(
            np.stack([z**0, z, z**2], axis=1), table[np.ix_(used, budgets)], rcond=None
        )[0]
        with np.errstate(all="ignore"):
            lowest = -slope / (2 * curvature)
        inside = (curvature > 0) & (lowest >= z.min()) & (lowest <= z.max())
        size[budgets] = np.where(inside, middle + lowest, np.nan)
        loss[budgets] = level + slope * lowest / 2
    return size, loss
