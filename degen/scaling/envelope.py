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
from .optimum import Drawn, OptimumFit, check_grows, optimum_constants
from .points import Points
from .result import Row

BUDGETS = 1500  # log-spaced, as in the paper
MIN_SIZES = 4
REACH = 4.0  # sizes within this factor of the one in the middle take part in a parabola, its two neighbours always
ROUNDS = 2  # in which the law found says where the parabolas lie


def fit_envelope(points: Points, bootstrap: Bootstrap, budgets: int = BUDGETS) -> OptimumFit:
    """Find the best size for each of many budgets, and power laws through them.

    Formula: at each of 1,500 log-spaced budgets the size of lowest loss among all training curves; then ln N_opt and
    ln D_opt linear in ln C. Two things go beyond the paper. A budget counts only where the next smaller and the next
    larger size were trained to it as well: elsewhere the lowest loss there is says only that the best size lies at or
    beyond it, which flattens the law. And the best size is the lowest point of a parabola in ln N through these three
    and all others within a factor of four, as sizes lie far apart; once a law is found, around the size nearest to what
    it says, lest the noise of the winner choose the budgets. Curves are smoothed first, as in the paper.

    Args:
        points: with a row for each checkpoint of several models.
        bootstrap: how the intervals are drawn: the noise of each curve about itself, smoothed. How much a model
            would differ if it were trained again, no curve can say.
        budgets: how many.

    Raises:
        DegenError: no training curves, or too few sizes for an envelope.

    Source: Hoffmann et al. 2022, arXiv 2203.15556, section 3.1.
    """
    curves = compute_curves(points)
    sizes = sorted({curve.size for curve in curves})
    if len(sizes) < MIN_SIZES:
        has = "1 size has" if len(sizes) == 1 else f"{len(sizes)} sizes have"
        raise DegenError(f"{points.path}: {has} a training curve, and an envelope needs {MIN_SIZES}: add models")
    first, last = min(curve.x[0] for curve in curves), max(curve.x[-1] for curve in curves)
    places = np.linspace(first, last, budgets)
    envelope = _envelope(curves, places, None)
    if envelope.centres < 2:
        raise DegenError(
            f"{points.path}: no two sizes are best between a smaller and a larger one at any compute; train the models "
            "to more similar compute, or add sizes"
        )
    constants = optimum_constants(envelope.flops, envelope.size, envelope.tokens)
    check_grows(constants, points.path)

    def refit(draw: np.random.Generator) -> Mapping[str, float]:
        found = _envelope(curves, places, [curve.redrawn(draw) for curve in curves])
        if found.centres < 2:
            raise DegenError("no envelope")
        return optimum_constants(found.flops, found.size, found.tokens)

    rows = envelope.rows(sizes)
    draws = run_bootstrap(bootstrap, refit, points=sum(len(curve.x) for curve in curves), free=2)
    warnings = []
    if len(rows) < budgets / 10:
        warnings.append(f"only {len(rows)} of {budgets} budgets have a best size between two others: train more sizes")
    if any(curve.smoother is None for curve in curves) and bootstrap.draws:
        warnings.append("some curves have too few checkpoints to tell their noise: the intervals know nothing of it")
    drawn = [
        Drawn(curve.name, np.exp(curve.x), np.exp(curve.y), (np.exp(curve.x), np.exp(curve.at(curve.x))))
        for curve in curves
    ]
    return OptimumFit("envelope", f"{len(rows)} of {budgets} budgets", rows, constants, draws, warnings, drawn)


@dataclass(frozen=True, eq=False)
class _Envelope:
    """The best models of the budgets that have one between two others, arrays of one length."""

    flops: Floats
    size: Floats
    tokens: Floats
    loss: Floats
    winner: Ints  # which of the sizes has the lowest loss
    centres: int  # different sizes that parabolas lie around

    def rows(self, sizes: Sequence[float]) -> list[Row]:
        """Return a row for each budget, with the size of lowest loss among those that were trained."""
        columns = (self.flops, self.size, self.tokens, self.loss, self.winner)
        return [
            {"flops": float(c), "parameters": float(n), "tokens": float(d), "tokens_per_parameter": float(d / n),
             "loss": float(loss), "lowest": sizes[winner]}
            for c, n, d, loss, winner in zip(*columns, strict=True)
        ]  # fmt: skip


def _envelope(curves: Sequence[ComputeCurve], places: Floats, redrawn: Sequence[Floats] | None) -> _Envelope:
    """Return the lower envelope at ln C of some budgets."""
    sizes = np.unique([curve.size for curve in curves])
    table = np.full((len(sizes), len(places)), np.inf)
    per_token = np.zeros(len(sizes))
    for i, curve in enumerate(curves):
        row = int(np.searchsorted(sizes, curve.size))
        values = curve.at(places, None if redrawn is None else redrawn[i])
        table[row] = np.fmin(table[row], values)  # two models of one size: the better
        per_token[row] = np.log(curve.per_token)
    x, winner = np.log(sizes), table.argmin(axis=0)
    centre = winner
    for last in (False,) * ROUNDS + (True,):
        inner = np.flatnonzero((centre > 0) & (centre < len(sizes) - 1))
        neighbours = np.stack([table[centre[inner] + away, inner] for away in (-1, 0, 1)])
        at = inner[np.isfinite(neighbours).all(axis=0)]
        size, loss = _lowest(x, table[:, at], centre[at])
        sound = np.isfinite(size)
        at, size, loss = at[sound], size[sound], loss[sound]
        if last or len(np.unique(centre[at])) < 2:
            break
        # the law so far, not the noise of one budget, says which sizes lie around the best one
        law = fit_power(np.exp(places[at]), np.exp(size), "compute")
        expected = law.log_coefficient + law.exponent * places
        centre = np.abs(x[:, None] - expected).argmin(axis=0)
    tokens = places[at] - np.interp(size, x, per_token)
    return _Envelope(
        np.exp(places[at]), np.exp(size), np.exp(tokens), np.exp(loss), winner[at], len(np.unique(centre[at]))
    )


def _lowest(x: Floats, table: Floats, centre: Ints) -> tuple[Floats, Floats]:
    """Return the lowest point of the parabola around a size, as ln N and ln L of every budget; NaN where there is none.

    Args:
        x: ln N of the sizes, ascending, shape (s,).
        table: ln L, s × budgets, infinite where a size was not trained.
        centre: the size in the middle, its two neighbours trained, at every budget.
    """
    size, loss = np.full(table.shape[1], np.nan), np.full(table.shape[1], np.nan)
    near = np.abs(x[:, None] - x[centre]) <= np.log(REACH)
    for away in (-1, 0, 1):
        near[centre + away, np.arange(len(centre))] = True
    near &= np.isfinite(table)
    groups, member = np.unique(np.concatenate([centre[None], near]), axis=1, return_inverse=True)
    for group, pattern in enumerate(groups.T):
        budgets, used, middle = np.flatnonzero(member.reshape(-1) == group), pattern[1:].astype(bool), x[pattern[0]]
        z = x[used] - middle
        level, slope, bend = np.linalg.lstsq(
            np.stack([z**0, z, z**2], axis=1), table[np.ix_(used, budgets)], rcond=None
        )[0]
        with np.errstate(all="ignore"):
            lowest = -slope / (2 * bend)
        inside = (bend > 0) & (lowest >= z.min()) & (lowest <= z.max())
        size[budgets] = np.where(inside, middle + lowest, np.nan)
        loss[budgets] = level + slope * lowest / 2
    return size, loss
