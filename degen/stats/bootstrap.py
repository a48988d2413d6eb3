"""Confidence intervals of a fit by bootstrap: the same fit to resampled tables, and percentiles of its results."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats, Ints
from degen.errors import DegenError

from .quantiles import two_sided

Interval = dict[str, float | None]  # value, low, high
OnDraw = Callable[[int, int], None]  # draws done, and how many there will be
Refit = Callable[[np.random.Generator], Mapping[str, float]]

MAX_FAILED = 0.2  # share of draws that may fail before there is no interval


@dataclass(frozen=True)
class Bootstrap:
    """The settings of a bootstrap.

    Attributes:
        draws: how many tables are drawn; 0 for no intervals.
        confidence: the confidence of each single interval, between 0 and 1.
        seed: sets the random draws.
        on_draw: is called after each draw with the number of draws that are done and the number of all.

    Raises:
        DegenError: a setting is out of range, or the draws are too few for the confidence.
    """

    draws: int = 100
    confidence: float = 0.9
    seed: int = 0
    on_draw: OnDraw = lambda *_: None

    def __post_init__(self) -> None:
        if self.draws < 0:
            raise DegenError(f"--bootstrap {self.draws}: the number of draws must be 0 (no intervals) or more")
        if not 0 < self.confidence < 1:
            raise DegenError(f"--confidence {self.confidence:g}: must lie between 0 and 1")
        if self.seed < 0:
            raise DegenError(f"--seed {self.seed}: the seed must be 0 or more")
        least = math.ceil(round(2 / (1 - self.confidence), 6))
        if 0 < self.draws < least:
            raise DegenError(
                f"--bootstrap {self.draws}: too few draws for confidence {self.confidence:g}; give at least {least}, "
                "or a lower confidence"
            )


@dataclass(frozen=True, eq=False)
class Draws:
    """The results of a bootstrap.

    Attributes:
        estimates: name of the quantity -> its value in each draw that could be fitted; empty without intervals.
        confidence: of the intervals.
        points: n, the number of points (or budgets) that were fitted.
        free: k, the number of fitted parameters.
        n_failed: the number of draws that could not be fitted.
        failure_reason: why there are no intervals; None where there are.
    """

    estimates: Mapping[str, Floats]
    confidence: float
    points: int
    free: int
    n_failed: int = 0
    failure_reason: str | None = None

    def interval(self, value: float, values: Floats | None) -> Interval:
        """Return a fitted value with the ends of its interval, which are percentiles of its values in the draws.

        Formula: the quantiles p and 1 − p of the draws, p = Φ(−sqrt(n/(n − k))·t), t Student's two-sided quantile at
        n − k degrees of freedom: percentiles as they are lie too close together where points are few.

        Args:
            value: the value in the fit to the table itself.
            values: the value in each draw; None where there are no draws, and so no interval.

        Source: Efron 1979; for p Hesterberg 2015, What teachers should know about the bootstrap, section 4.3.
        """
        if values is None or not len(values):
            return {"value": value, "low": None, "high": None}
        from scipy.special import ndtr

        freedom = max(self.points - self.free, 1)
        p = float(ndtr(-math.sqrt((freedom + self.free) / freedom) * two_sided(self.confidence, freedom)))
        # i/(B + 1): a value that is exchangeable with the draws then lies beyond with probability p, few as they are
        low, high = np.quantile(values, [p, 1 - p], method="weibull")
        return {"value": value, "low": float(low), "high": float(high)}

    def intervals(self, values: Mapping[str, float], fixed: Mapping[str, float] | None = None) -> dict[str, Interval]:
        """Return a dict: name of the quantity -> `value`, `low` and `high` of its interval.

        Args:
            values: name of the quantity -> its value in the fit.
            fixed: quantities that were not fitted, by name: their low and high equal their value.
        """
        return {
            name: {"value": value, "low": value, "high": value}
            if name in (fixed or {})
            else self.interval(value, self.estimates.get(name))
            for name, value in values.items()
        }


def run_bootstrap(settings: Bootstrap, refit: Refit, *, points: int, free: int) -> Draws:
    """Draw tables and fit each, and return the fitted values of all.

    Args:
        settings: of the bootstrap.
        refit: gets a random generator, draws a table with it, and returns the fitted quantities by name; it raises a
            DegenError where the table cannot be fitted.
        points: n, the number of points (or budgets) that the fit to the table itself uses.
        free: k, the number of fitted parameters.

    Returns:
        The draws, the same for the same seed; without intervals where more than a fifth could not be fitted.
    """
    kept: list[Mapping[str, float]] = []
    seeds = np.random.SeedSequence(settings.seed).spawn(settings.draws)  # a draw does not depend on those before it
    for done, seed in enumerate(seeds, 1):
        with suppress(DegenError):
            kept.append(refit(np.random.default_rng(seed)))
        settings.on_draw(done, settings.draws)
    n_failed = settings.draws - len(kept)
    failure_reason = "no bootstrap was asked for" if not settings.draws else None
    if n_failed > MAX_FAILED * settings.draws:
        failure_reason = (
            f"{n_failed} of {settings.draws} bootstrap draws could not be fitted; add points or fix parameters"
        )
    names = [] if failure_reason or not kept else list(kept[0])
    estimates = {name: np.array([draw[name] for draw in kept]) for name in names}
    return Draws(estimates, settings.confidence, points, free, n_failed, failure_reason)


def pairs(draw: np.random.Generator, points: int) -> Ints:
    """Return the indices of `points` points drawn from as many, with replacement."""
    return draw.integers(0, points, points)


def dirichlet(draw: np.random.Generator, points: int) -> Floats:
    """Return random weights of `points` points with sum n: n times uniform on the simplex, all positive.

    They replace the counts of points drawn with replacement, and vary as much; but every point stays in the table, so
    that few points determine what the whole table does.

    Source: Rubin 1981, The Bayesian Bootstrap, Ann. Statist. 9.
    """
    weights = draw.exponential(size=points)
    return np.asarray(weights * (points / weights.sum()))
