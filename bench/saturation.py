"""How often `degen saturation` is right, on simulated curves whose truth is known.

    python bench/saturation.py [--draws 400] [--seed 0] [--processes 2] [--only TEXT] [--level 0.05] [-o FILE]

Curves of 8, 12, 25 and 60 checkpoints, evenly spaced or half doubling and half even: a plateau, an exponential fall
that ends, a power law that falls to the end. Noise of one standard deviation: independent, with correlated neighbours
(0.3, 0.5), heavy-tailed (Student's t with 3 degrees of freedom, scaled), growing to three deviations over the second
half of training, with a column of standard errors that is right, with one that is three times as large because
checkpoints share text, and the exact match of a rare event. Half of them as they are, half with a ramp from two
thirds of training to five deviations at its end, from the level that the fall had reached; those with fewer than
three checkpoints on the ramp stand apart. Then collapses that begin with two wild checkpoints (normal, of ten
deviations) and stay five worse over the last quarter, falls that end sharply, verdicts that one checkpoint could
carry, and onsets of many shapes. Rates in %, with their Monte-Carlo standard error; last the rows that miss the bars of
bench/saturation_bars.py.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from degen.saturation.verdict import Verdict

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from saturation_bars import print_misses
from simulated_curves import (
    LAST,
    ONSET,
    POOR,
    RISES,
    SHAPES,
    SINGLES,
    SPACINGS,
    CurveKind,
    simulate_verdicts,
    training_times,
)

SIZES = (8, 12, 25, 60)
NOISES = ("normal", "AR .3", "AR .5", "t3", "growing", "errors", "shared errors", "shared errors AR .5", "rare event")
WORDS = ("saturated", "recovered", "not_saturated", "undecided")
COLLAPSES = (16, 25, 60)
ON_RAMP = 3  # checkpoints, with fewer of which a ramp is that of a single checkpoint


@dataclass(frozen=True)
class Rates:
    """What came of the curves of a kind.

    Attributes:
        case: the kind.
        draws: how many curves.
        shares: of each verdict, from 0 to 1.
        carried: share with a verdict of a rise that has not support 1.
        covered: share of the onsets whose interval holds the true one; None where there are few.
        width: median width of these intervals, as a share of training; None as above.
        bias: median error of the onset, as a share of training; None as above.
    """

    case: CurveKind
    draws: int
    shares: dict[str, float]
    carried: float
    covered: float | None
    width: float | None
    bias: float | None


def rates(case: CurveKind, draws: int, seed: int, level: float) -> Rates:
    """Return what came of the curves of a kind, by a test of a level."""
    results = list(simulate_verdicts(case, draws, seed, level))
    words = Counter(v.verdict for v, _ in results)
    unsaid = [_is_unsaid(v) for v, _ in results]
    onsets = [(v.onset, true) for v, true in results if v.verdict == "saturated" and v.onset is not None]
    known = case.change in ("ramp", "collapse") or case.change.startswith("onset")
    covered = width = bias = None
    if known and case.change != "collapse" and len(onsets) >= draws / 4:
        covered = float(np.mean([o.low <= true <= o.high for o, true in onsets]))
        width = float(np.median([o.high - o.low for o, _ in onsets])) / LAST
        bias = float(np.median([o.step - true for o, true in onsets])) / LAST
    shares = {word: words[word] / draws for word in WORDS}
    return Rates(case, draws, shares, float(np.mean(unsaid)), covered, width, bias)


def _is_unsaid(verdict: Verdict) -> bool:
    """Return whether a verdict of a rise on a curve that one checkpoint spoils keeps silent about that."""
    return verdict.verdict in ("saturated", "recovered") and verdict.support != 1


def one_checkpoint(case: CurveKind) -> bool:
    """Return whether a ramp has too few checkpoints to be more than one bad value."""
    return (
        case.change == "ramp" and int(np.sum(training_times(case.checkpoints, case.spacing) > ONSET + 1e-9)) < ON_RAMP
    )


def cases() -> list[CurveKind]:
    """Return all kinds of curves."""
    table = [
        CurveKind(kind, n, spacing, shape, change)
        for kind in NOISES
        for n in SIZES
        for spacing in SPACINGS
        for shape in (SHAPES if kind != "rare event" else SHAPES[:1])
        for change in (("none", "ramp") if kind != "rare event" else ("none",))
    ]
    sharp = [(kind, n, change) for kind in ("normal", "AR .5") for n in (12, 25) for change in ("none", "ramp")]
    table += [CurveKind(kind, n, "even", "line", change) for kind, n, change in sharp]
    table += [CurveKind(kind, n, "even", "plateau", "collapse") for kind in ("normal", "errors") for n in COLLAPSES]
    table += [
        CurveKind("normal", n, "even", shape, one)
        for one in (*SINGLES, POOR)
        for n in (12, 25)
        for shape in SHAPES[::2]
    ]
    table += [
        CurveKind(kind, n, "even", shape, f"onset {form}")
        for form in RISES
        for kind in ("normal", "AR .5")
        for n in (25, 60)
        for shape in SHAPES[::2]
    ]
    return table


HEADS = f"{'noise':<20}{'n':>3}  {'steps':<9} {'fall':<12} {'change':<20}" + "".join(f"{w:>14}" for w in WORDS)


def line(one: Rates) -> str:
    """Return a row of the printed table: rates in % with their standard errors, then those of onsets."""
    text = str(one.case)
    for word in WORDS:
        share = one.shares[word]
        text += f"{100 * share:>8.1f} ±{100 * math.sqrt(share * (1 - share) / one.draws):>4.1f}"
    if one.covered is not None and one.width is not None and one.bias is not None:
        text += f"{100 * one.covered:>9.1f}{100 * one.width:>7.0f}{100 * one.bias:>7.1f}"
    return text


def summary(table: Sequence[Rates]) -> list[str]:
    """Return the false rate of each noise on average and at most, and how often single checkpoints carry a verdict."""
    lines = ["", f"{'false saturated, %':<24}{'mean':>6}{'most':>6}"]
    for kind in dict.fromkeys(one.case.noise for one in table):
        none = [100 * one.shares["saturated"] for one in table if one.case.noise == kind and one.case.change == "none"]
        if none:
            lines.append(f"{kind:<24}{np.mean(none):>6.1f}{max(none):>6.1f}")
    single = [100 * one.carried for one in table if one.case.change in SINGLES]
    if single:
        lines.append(f"a verdict on one checkpoint without the word of it, at most: {max(single):.1f} %")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=400, help="curves of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="kinds whose row holds this text, as in 'AR .5' or 'ramp'")
    parser.add_argument("--level", type=float, default=0.05, help="of the test")
    parser.add_argument("-o", "--out", type=Path, help="a JSON file for the rates")
    arguments = parser.parse_args()
    chosen = [
        case
        for case in cases()
        if all(word in str(case).split("  ") or word in str(case) for word in arguments.only.split(","))
    ]
    begun = time.perf_counter()
    print(f"{arguments.draws} curves of each kind; rates in %; of onsets: covered, width and bias in % of training")
    print(f"{HEADS}{'covered':>9}{'width':>7}{'bias':>7}")
    table: list[Rates] = []
    with ProcessPoolExecutor(arguments.processes) as pool:
        jobs = [pool.submit(rates, case, arguments.draws, arguments.seed, arguments.level) for case in chosen]
        for job in jobs:
            table.append(job.result())
            print(line(table[-1]) + (" *" if one_checkpoint(table[-1].case) else ""), flush=True)
    print("* fewer than three checkpoints on the ramp")
    print("\n".join(summary(table)))
    rows: list[dict[str, Any]] = [asdict(one) | {"one_checkpoint": one_checkpoint(one.case)} for one in table]
    print_misses(rows)
    seconds = time.perf_counter() - begun
    print(f"{seconds:.0f} s")
    if arguments.out is not None:
        head = f'{{"draws": {arguments.draws}, "seed": {arguments.seed}, "seconds": {round(seconds)}, "rows": [\n'
        arguments.out.write_text(head + ",\n".join(map(json.dumps, rows)) + "\n]}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
