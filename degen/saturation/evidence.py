"""Evidence of a rise that no single checkpoint can give, and its unit."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from degen.arrays import Floats
from degen.stats.window_contrasts import final_contrasts, without_each

from .noise import Scatter

FEW = 16  # checkpoints, below which one of them may add to the evidence that the others give
ADDED = 0.8  # power of the ratio of the evidence with it to that without, by which it does
MOST_ADDED = 2.0  # ratio, from which on it adds less again
OUT_OF_PROPORTION = 4.0  # ratio, from which on it adds nothing
DAMPING, DAMPING_OF_FEW = 0.3, 0.6  # how much the correlation of residuals takes from the evidence
MOST_DAMPED = 0.5  # correlation

Contrasts = Callable[[Floats], Floats]


def evidence_of(rows: Floats, contrasts_of: Contrasts = final_contrasts, *, few: bool = False) -> Floats:
    """Return for every row how much evidence of a rise it gives, whichever of its values is left out.

    Formula: E = min T₍ᵢ₎, T₍ᵢ₎ the contrast without the i-th value; of few checkpoints E·g(T/E) where E is positive,
    T the contrast of all; g(r) = r^0.8 up to 2, and from there down in a line to 1 at 4. With few checkpoints a rise
    that had no need of any single one would too rarely be seen, so the most important one adds to what the others
    give, but only so much, and nothing where it is out of all proportion to them.

    Args:
        rows: series of n values, the larger the worse; n ≥ 3.
        contrasts_of: how far the end of each row, or any later window, lies above an earlier one.
        few: whether the rows are of a metric of few checkpoints.

    Returns:
        One for each row, in the unit of the values.
    """
    count, n = rows.shape
    least = contrasts_of(np.concatenate([without_each(row) for row in rows])).reshape(count, n).min(axis=1)
    if not few:
        return np.asarray(least)
    ratio = np.maximum(contrasts_of(rows) / np.where(least > 0, least, 1.0), 1.0)
    share = np.clip((OUT_OF_PROPORTION - ratio) / (OUT_OF_PROPORTION - MOST_ADDED), 0.0, 1.0)
    gain = 1 + share * (np.minimum(ratio, MOST_ADDED) ** ADDED - 1)
    return np.asarray(np.where(least > 0, least * gain, least))


def evidence_unit(scatter: Scatter, checkpoints: int) -> float:
    """Return the unit of the evidence: s·exp(d·r), r the correlation of residuals up to ±0.5, d 0.3; of few 0.6.

    Args:
        scatter: of the metric.
        checkpoints: whose scatter it is.
    """
    damping = DAMPING_OF_FEW if checkpoints < FEW else DAMPING
    return scatter.deviation * math.exp(damping * float(np.clip(scatter.correlation, -MOST_DAMPED, MOST_DAMPED)))
