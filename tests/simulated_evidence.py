"""Evidence of a rise in simulated noise on a plateau, of which `degen/saturation/null_quantiles.csv` holds quantiles.

Noise is normal, and neighbours correlate by 0.5, of 11 to 15 checkpoints by 0.45 and from 32 on by 0.55. Tests draw
some of it again, `bench/saturation_null.py` writes the table.
"""

from __future__ import annotations

import math

import numpy as np

from degen.arrays import Floats
from degen.saturation.evidence import FEW as FEW_CHECKPOINTS
from degen.saturation.evidence import evidence_of, evidence_unit
from degen.saturation.noise import find_scatter, straying
from degen.saturation.null_quantiles import TAILS
from degen.stats.window_contrasts import highest_contrasts

CHECKPOINTS = (5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 24, 32, 48, 64)
KNOWN = (3, 4, 5, 6, 7)
CORRELATION, CORRELATION_OF_FEW, CORRELATION_OF_MANY = 0.5, 0.45, 0.55  # of neighbours
FEW = range(11, 16)  # checkpoints, with which a ramp of five deviations would else be missed too often
MANY = 32  # checkpoints, from which on noise that grows would else be taken for a rise too often
CHUNK = 200  # draws at a time, which bounds the memory


def noise(rng: np.random.Generator, draws: int, n: int) -> Floats:
    """Return draws × n of normal noise of variance 1 whose neighbours correlate."""
    rho = CORRELATION_OF_FEW if n in FEW else CORRELATION_OF_MANY if n >= MANY else CORRELATION
    values = rng.standard_normal((draws, n))
    for i in range(1, n):
        values[:, i] = rho * values[:, i - 1] + math.sqrt(1 - rho**2) * values[:, i]
    return values


def unit_of(steps: Floats, values: Floats) -> float:
    """Return the unit of the evidence of a curve, as `find_rise` has it."""
    kept = ~straying(steps, values)
    scatter = find_scatter(steps[kept], values[kept])
    assert scatter is not None
    return evidence_unit(scatter, len(values[kept]))


def highest_evidence(rows: Floats) -> Floats:
    """Return for every row the evidence of a rise anywhere."""
    return evidence_of(rows, lambda each: highest_contrasts(each)[0])


def quantiles(evidence: Floats) -> list[str]:
    return [f"{q:.4g}" for q in np.quantile(evidence, 1 - np.array(TAILS))]


def rows_of(n: int, draws: int, seed: int) -> list[list[object]]:
    """Return the rows of the table for one number of checkpoints."""
    rng = np.random.default_rng([seed, n])
    steps = np.arange(1.0, n + 1)
    tested = sorted({f for f in CHECKPOINTS if f <= n and (n <= 16 or f % 2 == 0 or f in (5, 7, 9))})
    final: dict[int, list[Floats]] = {f: [] for f in tested}
    highest: dict[int, list[Floats]] = {f: [] for f in tested if f == n or f in (5, 8, 12, 16, 24, 32, 48)}
    for _ in range(-(-draws // CHUNK)):
        values = noise(rng, CHUNK, n)
        units = np.array([unit_of(steps, row) for row in values])
        for f in tested:
            final[f].append(evidence_of(values[:, n - f :], few=n < FEW_CHECKPOINTS) / units)
        for f in highest:
            highest[f].append(highest_evidence(values[:, n - f :]) / units)
    rows: list[list[object]] = [["final", n, f, *quantiles(np.concatenate(e))] for f, e in final.items()]
    return rows + [["highest", n, f, *quantiles(np.concatenate(e))] for f, e in highest.items()]
