"""Approach 2 of Hoffmann et al.: models of many sizes at each of some budgets, and a parabola through each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.stats.bootstrap import Bootstrap, run_bootstrap

from .optimum import Drawn, OptimumFit, check_grows, optimum_constants
from .points import Points

MIN_GAP = 1.1  # a budget ends where the next compute is larger by this factor
MAX_WIDTH = 1.2  # ratio of the largest compute of a budget to its smallest, at most
MIN_PROMINENCE = 2  # times as many models as in as wide a stretch on either side make a budget among many models
MIN_SIZES = 4  # of a budget: three have a parabola through them whatever they are


@dataclass(frozen=True, eq=False)
class Profile:
    """The losses of one budget over size.

    Attributes:
        flops: C, the geometric mean of its models.
        x: ln N, shape (m,).
        loss: L.
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
        """The share of each loss in its own fitted one."""
        orthogonal, _ = np.linalg.qr(self.basis)
        return np.asarray(np.sum(orthogonal**2, axis=1))

    def parabola(self, loss: Floats) -> Floats:
        """Return the three coefficients of the parabola through some losses."""
        return np.asarray(np.linalg.lstsq(self.basis, loss, rcond=None)[0])

    def lowest(self, loss: Floats) -> tuple[float, float] | str:
        """Return the lowest point of the parabola through some losses, as ln N and loss; or what is wrong with it."""
        level, slope, bend = self.parabola(loss)
        if not bend > 0:
            return "has no lowest point"
        z = -slope / (2 * bend)
        if not self.basis[:, 1].min() <= z <= self.basis[:, 1].max():
            return "has its lowest point beyond the sizes there are"
        return float(z + self.x.mean()), float(level + slope * z / 2)

    def parabola_points(self) -> tuple[Floats, Floats]:
        """Return N and L along the parabola, from the smallest size to the largest."""
        z = np.linspace(self.basis[:, 1].min(), self.basis[:, 1].max(), 50)
        level, slope, bend = self.parabola(self.loss)
        return np.exp(z + self.x.mean()), level + slope * z + bend * z**2

    def tokens(self, size: float) -> float:
        """Return D of a model with this ln N at the budget, its FLOPs per token between those of its neighbours."""
        order = np.argsort(self.x)
        return float(np.exp(np.log(self.flops) - np.interp(size, self.x[order], self.per_token[order])))


def fit_isoflop(points: Points, bootstrap: Bootstrap) -> OptimumFit:
    """Find the best size at each budget from a parabola in ln N, and power laws through them.

    Formula: L = p + q·ln N + r·(ln N)² at each budget; N_opt its lowest point, D_opt = C/6N_opt (or what the table says
    of FLOPs per token); then ln N_opt and ln D_opt linear in ln C. A budget whose lowest point lies beyond its sizes,
    or that has none, is left out with a warning.

    Args:
        points: with four sizes or more at each of two budgets or more.
        bootstrap: how the intervals are drawn: losses anew about each parabola, (L − L̂)/sqrt(1 − h) of all budgets, h
            the share of a loss in its own L̂.

    Raises:
        DegenError: fewer than two budgets with a best size.

    Source: Hoffmann et al. 2022, arXiv 2203.15556, section 3.2.
    """
    points = points.complete("parameters", "tokens", "flops", "loss")
    profiles, warnings = profiles_of(points)
    sound: list[Profile] = []
    for profile in profiles:
        vertex = profile.lowest(profile.loss)
        if isinstance(vertex, str):
            warnings.append(f"the parabola at {profile.flops:.3g} FLOPs {vertex}: that budget is left out; add sizes")
        else:
            sound.append(profile)
    if len(sound) < 2:
        text = "; ".join(warnings) or "all models have one compute"
        raise DegenError(f"{points.path}: fewer than two budgets have a best size ({text})")

    constants = _constants(sound, [profile.loss for profile in sound])
    check_grows(constants, points.path)
    smooth = [profile.basis @ profile.parabola(profile.loss) for profile in sound]
    noise = np.concatenate(
        [
            (p.loss - fitted) / fitted / np.sqrt(np.maximum(1 - p.leverage, 1e-3))
            for p, fitted in zip(sound, smooth, strict=True)
        ]
    )

    def refit(draw: np.random.Generator) -> Mapping[str, float]:
        return _constants(sound, [fitted * (1 + draw.choice(noise, len(fitted))) for fitted in smooth])

    models = sum(len(profile.x) for profile in sound)
    # residuals are as wide as the noise already: degrees of freedom are all that the intervals need
    draws = run_bootstrap(bootstrap, refit, points=max(models - 3 * len(sound), 1), free=0)
    rows = [_row(profile) for profile in sound]
    drawn = [Drawn(f"{p.flops:.3g} FLOPs", np.exp(p.x), p.loss, p.parabola_points()) for p in sound]
    text = f"{len(sound)} budgets of {models} models"
    return OptimumFit("isoflop", text, rows, constants, draws, warnings, drawn)


def _constants(profiles: Sequence[Profile], losses: Sequence[Floats]) -> dict[str, float]:
    """Return a, b, k_N and k_D from the lowest points of the parabolas through some losses at each budget.

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


def profiles_of(points: Points) -> tuple[list[Profile], list[str]]:
    """Return the budgets of a table in ascending order, and what was left out of it.

    A budget is what gaps of a tenth in compute leave alone, if it is no wider than a fifth. In a wider stretch, where
    runs of other kinds lie between the budgets, it is a window a fifth wide, the one of most models first, that holds
    twice as many as the windows beside it. A model counts at its own loss, as if its compute were that of the budget.
    """
    order = np.argsort(points.flops, kind="stable")
    x = np.log(points.flops[order])
    found: list[Profile] = []
    for first, end in _stretches(x):
        rows = order[first:end]
        c, n = points.flops[rows], points.parameters[rows]
        if len(np.unique(n)) >= MIN_SIZES:
            middle = float(np.exp(np.log(c).mean()))
            found.append(Profile(middle, np.log(n), points.loss[rows], np.log(c / points.tokens[rows])))
    out = len(points) - sum(len(profile.x) for profile in found)
    if not out:
        return found, []
    text = f"{out} of {len(points)} models {'is' if out == 1 else 'are'} at no budget, which is {MIN_SIZES} sizes"
    return found, [f"{text} of nearly the same compute, apart from that of others: left out"]


def _stretches(x: Floats) -> list[tuple[int, int]]:
    """Return first and end of what may be budgets, among ln C in ascending order."""
    width = np.log(MAX_WIDTH)
    found: list[tuple[int, int]] = []
    todo: list[tuple[int, int]] = []
    ends = [0, *(np.flatnonzero(np.diff(x) > np.log(MIN_GAP)) + 1), len(x)]
    for first, end in pairwise(map(int, ends)):
        (found if x[end - 1] - x[first] <= width else todo).append((first, end))
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
            found.append((low, high))
    return sorted(found)


def _row(profile: Profile) -> dict[str, float | int | None]:
    vertex = profile.lowest(profile.loss)
    assert not isinstance(vertex, str)
    size, tokens = float(np.exp(vertex[0])), profile.tokens(vertex[0])
    return {
        "flops": profile.flops, "parameters": size, "tokens": tokens, "tokens_per_parameter": tokens / size,
        "loss": vertex[1], "curvature": float(profile.parabola(profile.loss)[2]), "models": len(profile.x),
    }  # fmt: skip
