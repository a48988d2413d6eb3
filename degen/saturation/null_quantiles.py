"""P-values of the test for a rise, from quantiles that bench/saturation_null.py draws."""

from __future__ import annotations

import csv
import math
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from degen.arrays import Floats

# A rise to the end, a rise anywhere, and the same where the noise is known.
Kind = Literal["final", "highest", "known final", "known highest"]

TABLE = Path(__file__).with_name("null_quantiles.csv")
TAILS = (0.9, 0.7, 0.5, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 0.005, 0.002, 0.001)  # probabilities
SMALLEST = TAILS[-1]


class _Quantiles(NamedTuple):
    """Quantiles for one number of checkpoints.

    Attributes:
        tested: how many of the checkpoints are near the best, ascending.
        quantiles: of the evidence, tested × tails, ascending along the tails.
    """

    tested: Floats
    quantiles: Floats


def p_value(evidence: float, kind: Kind, checkpoints: int, tested: int) -> float:
    """Return how often noise on a plateau gives as much evidence of a rise.

    Formula: linear in the evidence and the logarithm of the probability between the drawn quantiles, and linear in both
    counts between those that were drawn.

    Args:
        evidence: of `find_rise`.
        kind: of the rise.
        checkpoints: whose scatter gives the noise; as many as are tested where it is known.
        tested: checkpoints from the first one near the best.

    Returns:
        Between 0.001, the smallest that was drawn, and 1.
    """
    quantiles = quantiles_of(kind, checkpoints, tested)
    if evidence < quantiles[0]:
        return 1.0
    return float(math.exp(np.interp(evidence, quantiles, np.log(TAILS))))


def critical_evidence(level: float, kind: Kind, checkpoints: int, tested: int) -> float:
    """Return the evidence whose p-value is a level; arguments as for `p_value`."""
    tails = np.log(TAILS)[::-1]
    return float(np.interp(math.log(level), tails, quantiles_of(kind, checkpoints, tested)[::-1]))


@lru_cache(maxsize=1024)
def quantiles_of(kind: Kind, checkpoints: int, tested: int) -> Floats:
    """Return the quantiles of the evidence at `TAILS` under noise on a plateau."""
    table = _table()[kind]
    drawn = sorted(table)
    after = next((n for n in drawn if n >= checkpoints), drawn[-1])
    before = next((n for n in reversed(drawn) if n <= checkpoints), drawn[0])
    share = 0.0 if after == before else (checkpoints - before) / (after - before)
    found: Floats = (1 - share) * _at(table[before], tested) + share * _at(table[after], tested)
    return found


def _at(rows: _Quantiles, tested: int) -> Floats:
    """Return the quantiles for a number of tested checkpoints, between those that were drawn."""
    return np.array([np.interp(tested, rows.tested, column) for column in rows.quantiles.T])


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[int, _Quantiles]]:
    """Return the drawn quantiles by kind and number of checkpoints."""
    read: dict[str, dict[int, list[list[float]]]] = {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            values = [float(row["tested"]), *(float(row[f"{tail:g}"]) for tail in TAILS)]
            read.setdefault(row["kind"], {}).setdefault(int(row["checkpoints"]), []).append(values)
    return {
        kind: {n: _Quantiles(np.array(rows)[:, 0], np.array(rows)[:, 1:]) for n, rows in counts.items()}
        for kind, counts in read.items()
    }
