"""Approach 2 of Hoffmann et al.: models of many sizes at each of some budgets, and a parabola through each budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.stats.bootstrap import Bootstrap, run_bootstrap

from .optimum import OptimumFit, PlotSeries, check_grows, optimum_constants
from .points import Points

MIN_GAP = 1.1  # ratio of compute between the last model of a budget and the first of the next
MAX_WIDTH = 1.2  # ratio of the largest compute of a budget to its smallest
MIN_PROMINENCE = 2  # ratio of models in a budget to those in an equally wide window beside it
MIN_SIZES = 4  # of a budget: a parabola goes exactly through any three


@dataclass(frozen=True, eq=False)
class Profile:
    """The losses of one budget over size.

    Attributes:
        flops: C, the geometric mean of its models.
        x: ln N, shape (m,).
        loss: L, shape (m,).
        per_token: ln of the FLOPs of a training token, C/D, shape (m,).
    """

    flops: float
    x: Floats
    loss: Floats
    per_token: Floats

    @cached_property
    def basis(self) -> Floats:
        """1, z and z² of z = ln N about its mean, m × 3."""
        z = self.x - self.x.mean()
        return np.stack([np.ones_like(z), z, z**2], axis=1)

    @cached_property
    def leverage(self) -> Floats:
        """The share of each loss in its own fitted value, shape (m,)."""
        orthogonal, _ = np.linalg.qr(self.basis)
        return np.asarray(np.sum(orthogonal**2, axis=1))

    def parabola(self, loss: Floats) -> Floats:
        """Return the coefficients of 1, z and z² of the least-squares parabola through m losses."""
        return np.asarray(np.linalg.lstsq(self.basis, loss, rcond=None)[0])

    def lowest(self, loss: Floats) -> tuple[float, float] | str:
        """Return ln N and L at the lowest point of the parabola through the m losses; a phrase if it has none."""
        level, slope, curvature = self.parabola(loss)
        if not curvature > 0:
            return "has no lowest point"
        z = -slope / (2 * curvature)
        if not self.basis[:, 1].min() <= z <= self.basis[:, 1].max():
            return "has its lowest point beyond the smallest or largest size"
        return float(z + self.x.mean()), float(level + slope * z / 2)

    def parabola_points(self) -> tuple[Floats, Floats]:
        """Return N and L along the parabola, from the smallest size to the largest."""
        z = np.linspace(self.basis[:, 1].min(), self.basis[:, 1].max(), 50)
        level, slope, curvature = self.parabola(self.loss)
        return np.exp(z + self.x.mean()), level + slope * z + curvature * z**2

    def tokens(self, size: float) -> float:
        """Return D of a model with this ln N at the budget, its FLOPs per token interpolated between its neighbours."""
        order = np.argsort(self.x)
        return float(np.exp(np.log(self.flops) - np.interp(size, self.x[order], self.per_token[order])))


def fit_isoflop(points: Points, bootstrap: Bootstrap) -> OptimumFit:
    """Fit power laws to the best size at each budget, the lowest point of a parabola in ln N.

    Formula: L = p + q·ln N + r·(ln N)² at each budget; N_opt at its lowest point, D_opt = C/6N_opt, or by the FLOPs per
    token of the table; then ln N_opt and ln D_opt linear in ln C. A budget whose lowest point lies beyond its sizes, or
    that has none, is left out with a warning.

    Args:
        points: with four sizes or more at each of two budgets or more.
        bootstrap: of the intervals: residuals (L − L̂)/sqrt(1 − h) of all budgets are drawn anew about each parabola, h
            the share of a loss in its own L̂.

    Raises:
        DegenError: fewer than two budgets have a best size.

    Source: Hoffmann et al. 2022, arXiv 2203.15556, section 3.2.
    """
    points = points.complete("parameters", "tokens", "flops", "loss")
    profiles, warnings = _profiles(points)
    usable: list[Profile] = []
    for profile in profiles:
        vertex = profile.lowest(profile.loss)
        if isinstance(vertex, str):
            warnings.append(
                f"the budget of {profile.flops:.3g} FLOPs is left out, because its parabola {vertex}; add models of "
                "other sizes there"
            )
        else:
            usable.append(profile)
    if len(usable) < 2:
        reason = "; ".join(warnings) or "all models have the same compute"
        raise DegenError(
            f"{points.path}: fewer than two budgets have a best size ({reason}); add models of other sizes at two or "
            "more budgets"
        )

    constants = _constants(usable, [profile.loss for profile in usable])
    check_grows(constants, points.path)
    smooth = [profile.basis @ profile.parabola(profile.loss) for profile in usable]
    noise = np.concatenate(
        [
            (p.loss - fitted) / fitted / np.sqrt(np.maximum(1 - p.leverage, 1e-3))
            for p, fitted in zip(usable, smooth, strict=True)
        ]
    )

    def refit(draw: np.random.Generator) -> Mapping[str, float]:
        return _constants(usable, [fitted * (1 + draw.choice(noise, len(fitted))) for fitted in smooth])

    models = sum(len(profile.x) for profile in usable)
    # 1/sqrt(1 - h) has widened the residuals already, so run_bootstrap must not widen them for free parameters
    draws = run_bootstrap(bootstrap, refit, points=max(models - 3 * len(usable), 1), free=0)
    rows = [_row(profile) for profile in usable]
    series = [PlotSeries(f"{p.flops:.3g} FLOPs", np.exp(p.x), p.loss, p.parabola_points()) for p in usable]
    rests_on = f"{len(usable)} budgets of {models} models"
    return OptimumFit("isoflop", rests_on, rows, constants, draws, warnings, series)


def _constants(profiles: Sequence[Profile], losses: Sequence[Floats]) -> dict[str, float]:
    """Return a, b, k_N and k_D from the lowest points of the parabolas through the losses of each budget.

    Raises:
        DegenError: fewer than two of them have a lowest point among their sizes.
    """
    flops, sizes, tokens = [], [], []
    for profile, loss in zip(profiles, losses, strict=True):
        vertex = profile.lowest(loss)
        if isinstance(vertex, str):
            continue
        flops.append(profile.flops)
        sizes.append(np.exp(vertex[0]))
        tokens.append(profile.tokens(vertex[0]))
    if len(flops) < 2:
        raise DegenError("fewer than two budgets have a best size")
    return optimum_constants(np.array(flops), np.array(sizes), np.array(tokens))


def _profiles(points: Points) -> tuple[list[Profile], list[str]]:
    """Return the budgets of a table in ascending order, and a list with a warning if some models belong to none.

    A group of models with no gap of a tenth in compute is a budget if it is no wider than a fifth. In a wider group,
    where other runs lie between the budgets, a budget is a window a fifth wide that holds twice as many models as the
    windows beside it, the one of most models first. A model's loss is taken as if its compute were that of the budget.
    """
    order = np.argsort(points.flops, kind="stable")
    x = np.log(points.flops[order])
    profiles: list[Profile] = []
    for first, end in _windows(x):
        rows = order[first:end]
        c, n = points.flops[rows], points.parameters[rows]
        if len(np.unique(n)) >= MIN_SIZES:
            middle = float(np.exp(np.log(c).mean()))
            profiles.append(Profile(middle, np.log(n), points.loss[rows], np.log(c / points.tokens[rows])))
    out = len(points) - sum(len(profile.x) for profile in profiles)
    if not out:
        return profiles, []
    count = f"{out} of {len(points)} models {'belongs' if out == 1 else 'belong'} to no budget"
    return profiles, [
        f"{count} and are left out; a budget is a group of {MIN_SIZES} sizes or more with nearly the same compute"
    ]


def _windows(x: Floats) -> list[tuple[int, int]]:
    """Return the first index and the end index of each possible budget.

    Args:
        x: ln C of the models, ascending.
    """
    width = np.log(MAX_WIDTH)
    windows: list[tuple[int, int]] = []
    todo: list[tuple[int, int]] = []
    ends = [0, *(np.flatnonzero(np.diff(x) > np.log(MIN_GAP)) + 1), len(x)]
    for first, end in pairwise(map(int, ends)):
        (windows if x[end - 1] - x[first] <= width else todo).append((first, end))
    while todo:
        first, end = todo.pop()
        if end - first < MIN_SIZES:
            continue
        count = np.searchsorted(x[first:end], x[first:end] + width, side="right") - np.arange(end - first)
        low = first + int(count.argmax())
        high = low + int(count.max())
        todo += [(first, low), (high, end)]
        beside = (x[low] + x[high - 1]) / 2 + width * np.array([-1.5, -0.5, 0.5, 1.5])
        edges = np.searchsorted(x, beside)
        if high - low >= MIN_PROMINENCE * max(min(edges[1], low) - edges[0], edges[3] - max(edges[2], high)):
            windows.append((low, high))
    return sorted(windows)


def _row(profile: Profile) -> dict[str, float | int | None]:
    """Return the row of a budget; its parabola must have a lowest point."""
    vertex = profile.lowest(profile.loss)
    assert not isinstance(vertex, str)
    size, tokens = float(np.exp(vertex[0])), profile.tokens(vertex[0])
    return {
        "flops": profile.flops, "parameters": size, "tokens": tokens, "tokens_per_parameter": tokens / size,
        "loss": vertex[1], "curvature": float(profile.parabola(profile.loss)[2]), "models": len(profile.x),
    }  # fmt: skip
