"""Simulated curves whose truth is known: where a metric begins to get worse, if it does.

A plateau, an exponential fall that ends, and a power law that falls to the end, with normal noise of one standard
error; half of them with a ramp that begins about two thirds into training, from the level the fall had reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats
from degen.metrics.curve import Curve
from degen.saturation.verdict import Verdict, judge

CHECKPOINTS = 25
LAST = 125_000
NOISE = 0.01  # nats
LEVEL = 3.0  # nats: the floor of a loss, 0.5 %, is then one and a half standard errors
RAMP = 5.0  # standard errors
SHAPES = ("plateau", "exponential", "power law")
SPACINGS = ("even", "doubling")


@dataclass(frozen=True)
class CurveKind:
    """A kind of curve: its fall, the steps, how many standard errors it rises by, whether errors are known."""

    shape: str
    spacing: str
    ramp: float
    errors: bool

    def __str__(self) -> str:
        errors = "given" if self.errors else "estimated"
        return f"{self.shape:<12} {self.spacing:<8} {'ramp' if self.ramp else 'none':<5} {errors:<10}"


def steps(spacing: str) -> Floats:
    """Return the steps of the checkpoints: evenly spaced, or the first twelve in powers of two."""
    if spacing == "even":
        return np.arange(1, CHECKPOINTS + 1) * LAST / CHECKPOINTS
    early = 2.0 ** np.arange(12)
    return np.concatenate([early, np.linspace(LAST / 13, LAST, CHECKPOINTS - 12)])


def make_curve(kind: CurveKind, rng: np.random.Generator) -> tuple[Curve, float]:
    """Return a curve of a kind, and the step where its ramp truly begins."""
    t = steps(kind.spacing)
    onset = LAST * rng.uniform(0.6, 0.7)
    held = np.minimum(t, onset) if kind.ramp else t
    fall = {
        "plateau": 0 * held,
        "exponential": 100 * NOISE * np.exp(-held / (0.12 * LAST)),
        "power law": 12 * NOISE * ((held + 0.02 * LAST) / LAST) ** -0.5,
    }[kind.shape]
    ramp = kind.ramp * NOISE * np.clip((t - onset) / (LAST - onset), 0, None)
    values = LEVEL + fall + ramp + rng.normal(0, NOISE, len(t))
    errors = np.full(len(t), NOISE) if kind.errors else None
    return Curve("m", "loss", np.round(t).astype(np.int64), values, "min", 0.005 * values.min(), errors), onset


def simulate_verdicts(kind: CurveKind, number: int, seed: int) -> Iterator[tuple[Verdict, float]]:
    """Yield the verdicts on curves of a kind, each with the step where its ramp truly begins."""
    rng = np.random.default_rng([seed, *str(kind).encode()])
    for _ in range(number):
        curve, onset = make_curve(kind, rng)
        yield judge(curve), onset
