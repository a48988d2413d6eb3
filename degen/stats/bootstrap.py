"""How sure a fit is: the same fit to tables drawn anew, and the percentiles of what comes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError

Interval = dict[str, float | None]  # value, low, high
OnDraw = Callable[[int, int], None]  # draws done, and how many there will be
Refit = Callable[[np.random.Generator], Mapping[str, float]]

MAX_FAILED = 0.2  # share of draws that may fail before there is no interval


@dataclass(frozen=True)
class Bootstrap:
    """What is asked of a bootstrap.

    Attributes:
        draws: how many tables are drawn; 0 for no intervals.
        confidence: of each interval by itself, between 0 and 1.
        seed: of the draws.
        on_draw: called after each of them.
    """

    draws: int = 100
    confidence: float = 0.9
    seed: int = 0
    on_draw: OnDraw = lambda *_: None

    def __post_init__(self) -> None:
        if self.draws < 0:
            raise DegenError(f"--bootstrap {self.draws}: a number of draws, 0 for no intervals")
        if not 0 < self.confidence < 1:
            raise DegenError(f"--confidence {self.confidence:g}: must lie between 0 and 1")
        if self.seed < 0:
            raise DegenError(f"--seed {self.seed}: must be at least 0")
        least = math.ceil(round(2 / (1 - self.confidence), 6))
        if 0 < self.draws < least:
            raise DegenError(f"--bootstrap {self.draws}: too few for confidence {self.confidence:g}; give {least}")


@dataclass(frozen=True, eq=False)
class Draws:
    """What a bootstrap found.

    Attributes:
        found: the value of every quantity in each draw that was fitted, by quantity; empty without intervals.
        confidence: of the intervals.
        points: n, what the fit rests on.
        free: k, fitted parameters.
        n_failed: draws that could not be fitted.
        failure_reason: why there are no intervals; None where there are.
    """

    found: Mapping[str, Floats]
    confidence: float
    points: int
    free: int
    n_failed: int = 0
    failure_reason: str | None = None

    def interval(self, value: float, values: Floats | None) -> Interval:
        """Return a value with the percentiles of its draws.

        Formula: the quantiles p and 1 − p of the draws, p = Φ(−sqrt(n/(n − k))·t), t Student's two-sided quantile at
        n − k degrees of freedom: percentiles as they are lie too close together where points are few.

        Args:
            value: of the fit itself.
            values: of the draws; None without.

        Source: Efron 1979; for p Hesterberg 2015, What teachers should know about the bootstrap, section 4.3.
        """
        if values is None or not len(values):
            return {"value": value, "low": None, "high": None}
        from scipy.stats import norm, t

        freedom = max(self.points - self.free, 1)
        reach = math.sqrt((freedom + self.free) / freedom) * t.ppf((1 + self.confidence) / 2, freedom)
        p = float(norm.cdf(-reach))
        # i/(B + 1): a value that is exchangeable with the draws then lies beyond with probability p, few as they are
        low, high = np.quantile(values, [p, 1 - p], method="weibull")
        return {"value": value, "low": float(low), "high": float(high)}

    def intervals(self, values: Mapping[str, float], fixed: Mapping[str, float] | None = None) -> dict[str, Interval]:
        """Return value, low and high of every quantity; those of a fixed one are equal."""
        return {
            name: {"value": value, "low": value, "high": value}
            if name in (fixed or {})
            else self.interval(value, self.found.get(name))
            for name, value in values.items()
        }


def run_bootstrap(asked: Bootstrap, refit: Refit, *, points: int, free: int) -> Draws:
    """Fit tables drawn anew.

    Args:
        asked: how many, and from which seed.
        refit: draws a table with the generator it gets, and fits it; a DegenError says that it cannot be fitted.
        points: n, what the fit rests on.
        free: k, fitted parameters.

    Returns:
        The draws, the same every time; without intervals where more than a fifth of them could not be fitted.
    """
    kept: list[Mapping[str, float]] = []
    seeds = np.random.SeedSequence(asked.seed).spawn(asked.draws)  # a draw does not depend on those before it
    for done, seed in enumerate(seeds, 1):
        with suppress(DegenError):
            kept.append(refit(np.random.default_rng(seed)))
        asked.on_draw(done, asked.draws)
    n_failed = asked.draws - len(kept)
    failure_reason = "no bootstrap was asked for" if not asked.draws else None
    if n_failed > MAX_FAILED * asked.draws:
        failure_reason = (
            f"{n_failed} of {asked.draws} bootstrap draws could not be fitted; add points or fix parameters"
        )
    found = {} if failure_reason or not kept else {name: np.array([draw[name] for draw in kept]) for name in kept[0]}
    return Draws(found, asked.confidence, points, free, n_failed, failure_reason)


def pairs(draw: np.random.Generator, points: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return which of n points a table drawn anew holds: n of them, with replacement."""
    return draw.integers(0, points, points)
