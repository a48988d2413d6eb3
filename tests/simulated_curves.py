"""Simulated curves whose truth is known: where a metric begins to get worse, if it does.

A plateau, an exponential fall that ends, a power law that falls to the end, or a line that ends sharply, with noise of
one standard deviation and, late in training, nothing, a ramp, a collapse, one wrong checkpoint or a rise of another
shape. Tests draw some, `bench/saturation.py` all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from degen.arrays import Floats
from degen.metrics.curve import Curve
from degen.saturation.verdict import Verdict, judge

LAST = 2.0**45  # steps: those that double 30 times stay whole numbers
NOISE = 0.01  # nats
LEVEL = 3.0  # nats: the floor of a loss, 0.5 %, is then one and a half standard deviations
RAMP = 5.0  # standard deviations
ONSET = 2 / 3  # of training
SHAPES = ("plateau", "exponential", "power law")
SPACINGS = ("even", "doubling")
SHARED = 3.0  # how much larger an error is that holds what checkpoints share
SINGLES = ("bad last value", "lucky best", "foreign checkpoint")
POOR = "poor last value"  # by four deviations: neither plainly a spoilt checkpoint nor plainly noise
WITHOUT_ERRORS = {"errors": "normal", "shared errors": "normal", "shared errors AR .5": "AR .5"}
RISES = ("ramp", "jump", "exponential", "flattening", "quadratic")


@dataclass(frozen=True)
class CurveKind:
    """A kind of curve.

    Attributes:
        noise: its noise.
        checkpoints: how many.
        spacing: of their steps.
        shape: of the fall: one of `SHAPES`, or `line`.
        change: of what happens late: `none`, `ramp`, `collapse`, one of `SINGLES`, `POOR`, or `onset`
            and one of `RISES`.
    """

    noise: str
    checkpoints: int
    spacing: str
    shape: str
    change: str

    def __str__(self) -> str:
        return f"{self.noise:<20}{self.checkpoints:>3}  {self.spacing:<9} {self.shape:<12} {self.change:<20}"


def training_times(checkpoints: int, spacing: str) -> Floats:
    """Return when the checkpoints were saved, as shares of training."""
    if spacing == "even":
        return np.arange(1, checkpoints + 1) / checkpoints
    half = checkpoints // 2
    even = np.arange(1, checkpoints - half + 1) / (checkpoints - half)
    return np.concatenate([even[0] * 2.0 ** np.arange(-half, 0), even])


def noise(kind: str, t: Floats, rng: np.random.Generator) -> Floats:
    """Return noise of one standard deviation, of its first half where it grows."""
    z = rng.standard_normal(len(t))
    if "AR" in kind:
        rho = float(kind.split()[-1])
        for i in range(1, len(t)):
            z[i] = rho * z[i - 1] + math.sqrt(1 - rho**2) * z[i]
    if kind == "t3":
        return np.asarray(rng.standard_t(3, len(t)) / math.sqrt(3))
    if kind == "growing":
        return np.asarray(z * (1 + 2 * np.clip((t - 0.5) / 0.5, 0, None)))
    return z


def fall(shape: str, t: Floats) -> Floats:
    """Return a fall in standard deviations, to about nothing, to the end, or to a sharp end at two fifths."""
    return {
        "plateau": 0 * t,
        "exponential": 100 * np.exp(-t / 0.12),
        "power law": 12 * (t + 0.02) ** -0.5,
        "line": 36 * np.clip(0.4 - t, 0, None),
    }[shape]


def rise(shape: str, t: Floats, onset: float) -> Floats:
    """Return a rise to five standard deviations at the end."""
    u = np.clip((t - onset) / (1 - onset), 0, None)
    return (
        RAMP
        * {
            "ramp": u,
            "jump": (u > 0).astype(np.float64),
            "exponential": np.expm1(2 * u) / math.expm1(2),
            "flattening": -np.expm1(-3 * u) / -math.expm1(-3),
            "quadratic": u**2,
        }[shape]
    )


def make_curve(kind: CurveKind, rng: np.random.Generator) -> tuple[Curve, float]:
    """Return a curve of a kind, and where its rise truly begins, as a share of training."""
    t = training_times(kind.checkpoints, kind.spacing)
    steps = np.round(t * LAST).astype(np.int64)
    if kind.noise == "rare event":
        return Curve("m", "exact_match", steps, rng.binomial(1000, 0.0005, len(t)) / 1000, "max", 0.0), ONSET
    onset = float(rng.uniform(0.45, 0.75)) if kind.change.startswith("onset") else ONSET
    rising = kind.change == "ramp" or kind.change.startswith("onset")
    values = fall(kind.shape, np.minimum(t, onset) if rising else t) + noise(kind.noise, t, rng)
    if rising:
        values += rise("ramp" if kind.change == "ramp" else kind.change.removeprefix("onset "), t, onset)
    n = len(t)
    if kind.change == "collapse":
        last = n // 4
        values[-last:] += RAMP
        values[-last - 2 : -last] = RAMP + 10 * rng.standard_normal(2)
    elif kind.change == "bad last value":
        values[-1] += 20
    elif kind.change == POOR:
        values[-1] += 4
    elif kind.change == "lucky best":
        values[int(rng.integers(n // 2, n - 2))] -= 15
    elif kind.change == "foreign checkpoint":
        values[int(rng.integers(n // 4, n // 2))] = values[-1]
    values = LEVEL + NOISE * values
    size = {"errors": 1.0}.get(kind.noise, SHARED if kind.noise.startswith("shared") else None)
    errors = None if size is None else np.full(n, size * NOISE)
    if kind.noise.startswith("shared"):
        values += math.sqrt(SHARED**2 - 1) * NOISE * rng.spawn(1)[0].standard_normal()
    return Curve("m", "loss", steps, values, "min", 0.005 * values.min(), errors), onset


def simulate_verdicts(kind: CurveKind, draws: int, seed: int, level: float = 0.05) -> Iterator[tuple[Verdict, float]]:
    """Yield the verdicts on curves of a kind, each with the step where the rise truly begins.

    Kinds that differ in the column of errors alone have the same noise, so that what the column changes is seen.
    """
    plain = replace(kind, noise=WITHOUT_ERRORS.get(kind.noise, kind.noise))
    rng = np.random.default_rng([seed, *str(plain).encode()])
    for _ in range(draws):
        curve, onset = make_curve(kind, rng)
        yield judge(curve, level), onset * LAST
