"""How often `degen saturation` is right, on simulated curves whose truth is known.

    python bench/saturation.py [--series 1000] [--seed 0]

Curves of 25 checkpoints with normal noise of one standard error: a plateau, an exponential fall that ends, a power law
that falls to the end; evenly spaced, or with the first twelve in powers of two (thirteen are left for 92 % of the
training, four or five for a ramp over its last third). With the standard errors given, or to be
estimated from the scatter of neighbours. Half as they are; half with a ramp that begins about two thirds into training
and reaches five standard errors at its end, from the level the fall had reached.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from degen.saturation.verdict import Verdict

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from simulated_curves import LAST, RAMP, SHAPES, SPACINGS, CurveKind, simulate_verdicts

WORDS = ("saturated", "recovered", "not_saturated", "undecided")


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
                    kind = CurveKind(shape, spacing, ramp, errors)
                    results = list(simulate_verdicts(kind, arguments.series, arguments.seed))
                    every += results
                    print(line(str(kind), results), flush=True)
            print(
                line(f"{'all of these':<12} {spacing:<8} {'ramp' if ramp else 'none':<5} {'':<10}", every), flush=True
            )
    print(f"{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
