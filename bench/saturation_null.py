"""Draw degen/saturation/null_quantiles.csv: how much evidence of a rise noise on a plateau gives.

    python bench/saturation_null.py [--draws 4000] [--seed 0]

Noise is normal, and neighbours correlate by 0.5, of 11 to 15 checkpoints by 0.45 and from 32 on by 0.55: critical
values from it hold, or nearly, for independent, heavy-tailed and growing noise (bench/saturation.py). `final` is the
evidence of `find_rise`, `highest` that of a rise anywhere, `known final` and `known highest` those where the size of
the noise is known.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

from degen.saturation.evidence import evidence_of
from degen.saturation.null_quantiles import TABLE, TAILS

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from simulated_evidence import CHECKPOINTS, KNOWN, highest_evidence, noise, quantiles, rows_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=4000, help="of each number of checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows: list[list[object]] = []
    for n in KNOWN:
        drawn = noise(np.random.default_rng([arguments.seed, n]), 10 * arguments.draws, n)
        rows.append(["known final", n, n, *quantiles(evidence_of(drawn))])
        rows.append(["known highest", n, n, *quantiles(highest_evidence(drawn))])
    for n in CHECKPOINTS:
        rows += rows_of(n, arguments.draws, arguments.seed)
        print(f"{n} checkpoints", flush=True)
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["kind", "checkpoints", "tested", *(f"{tail:g}" for tail in TAILS)])
        writer.writerows(sorted(rows, key=lambda row: (str(row[0]), *row[1:3])))


if __name__ == "__main__":
    main()
