"""How often `degen saturation` is right, on simulated curves whose truth is known.

    python bench/saturation.py [--series 1000] [--seed 0]

Courses of 25 checkpoints with normal noise of one standard error: a plateau, an exponential fall that ends, a power law
that falls to the end; evenly spaced, or with the first twelve in powers of two (thirteen are left for 92 % of the
training, four or five for a ramp over its last third). With the standard errors given, or to be
estimated from the scatter of neighbours. Half as they are; half with a ramp that begins about two thirds into training
and reaches five standard errors at its end, from the level the fall had reached.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
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
WORDS = ("saturated", "recovered", "not_saturated", "undecided")


@dataclass(frozen=True)
class Case:
    """A kind of curve."""

    shape: str
    spacing: str
    ramp: float
    errors: bool

    def __str__(self) -> str:
        errors = "given" if self.errors else "estimated"
        return f"{self.shape:<12} {self.spacing:<8} {'ramp' if self.ramp else 'none':<5} {errors:<10}"


def steps(spacing: str) -> Floats:
    if spacing == "even":
        return np.arange(1, CHECKPOINTS + 1) * LAST / CHECKPOINTS
    early = 2.0 ** np.arange(12)
    return np.concatenate([early, np.linspace(LAST / 13, LAST, CHECKPOINTS - 12)])


def made_curve(case: Case, rng: np.random.Generator) -> tuple[Curve, float]:
    """A curve of a kind, and where its ramp truly begins."""
    t = steps(case.spacing)
    onset = LAST * rng.uniform(0.6, 0.7)
    held = np.minimum(t, onset) if case.ramp else t
    fall = {
        "plateau": 0 * held,
        "exponential": 100 * NOISE * np.exp(-held / (0.12 * LAST)),
        "power law": 12 * NOISE * ((held + 0.02 * LAST) / LAST) ** -0.5,
    }[case.shape]
    ramp = case.ramp * NOISE * np.clip((t - onset) / (LAST - onset), 0, None)
    values = LEVEL + fall + ramp + rng.normal(0, NOISE, len(t))
    errors = np.full(len(t), NOISE) if case.errors else None
    return Curve("m", "loss", np.round(t).astype(np.int64), values, "min", 0.005 * values.min(), errors), onset


def judged(case: Case, number: int, seed: int) -> Iterator[tuple[Verdict, float]]:
    rng = np.random.default_rng([seed, *str(case).encode()])
    for _ in range(number):
        made, onset = made_curve(case, rng)
        yield judge(made), onset


def line(name: str, results: list[tuple[Verdict, float]]) -> str:
    words = Counter(v.verdict for v, _ in results)
    shares = "".join(f"{100 * words[word] / len(results):>14.1f}" for word in WORDS)
    onsets = [(v.onset, true) for v, true in results if v.verdict == "saturated" and v.onset is not None]
    if len(onsets) < len(results) / 4:  # false alarms have no true onset
        return name + shares
    covered = np.mean([o.low <= true <= o.high for o, true in onsets])
    width = np.median([(o.high - o.low) / LAST for o, _ in onsets])
    bias = np.median([(o.step - true) / LAST for o, true in onsets])
    return f"{name}{shares}{100 * covered:>10.1f}{100 * width:>8.0f}{100 * bias:>8.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=1000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(
        f"{arguments.series} curves of each kind; verdicts in %, onsets covered in %, width and bias in % of training"
    )
    heads = "".join(f"{word:>14}" for word in WORDS)
    print(f"{'curve':<12} {'steps':<8} {'rise':<5} {'errors':<10}{heads}{'covered':>10}{'width':>8}{'bias':>8}")
    begun = time.perf_counter()
    for spacing in SPACINGS:
        for ramp in (0.0, RAMP):
            every = []
            for errors in (True, False):
                for shape in SHAPES:
                    case = Case(shape, spacing, ramp, errors)
                    results = list(judged(case, arguments.series, arguments.seed))
                    every += results
                    print(line(str(case), results), flush=True)
            print(
                line(f"{'all of these':<12} {spacing:<8} {'ramp' if ramp else 'none':<5} {'':<10}", every), flush=True
            )
    print(f"{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
