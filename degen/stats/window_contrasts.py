"""Contrasts of a late window of a series with an earlier one: how far the mean rose, in units of its own scatter."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from degen.arrays import Floats, Ints

CORRELATION = 0.5  # of neighbours, that the variance of a mean allows for
LENGTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48)  # of windows
FEWER_LENGTHS = (1, 2, 3, 5, 8, 12, 20, 32)  # where both windows may be anywhere
LEAST_EARLY = 2  # checkpoints of the earlier window: one lucky value is no level
LEAST_ROW = 4  # values of a series, below which a single one is a level after all


@lru_cache(maxsize=256)
def mean_variance(length: int) -> float:
    """Return the variance of the mean of neighbours of variance 1 whose correlation halves with every step.

    Formula: (1 + 2 Σ_{h<m} (1 − h/m)·ρ^h)/m, ρ = 0.5, m the length.
    """
    lags = np.arange(1, length)
    return float(1 + 2 * np.sum((1 - lags / length) * CORRELATION**lags)) / length


def final_contrasts(rows: Floats) -> Floats:
    """Return for every row how far its end lies above the lowest window before it.

    Formula: max (mean of the last m − mean of w neighbours before them)/√(v_m + v_w) over both lengths and all places
    of the earlier window; v of `mean_variance`. The last window is at most half of the row, and the earlier one at
    least two values; one, in a row of fewer than four.

    Args:
        rows: series of n values, the larger the worse; n ≥ 2.

    Returns:
        One for each row, in the unit of the values.
    """
    n = rows.shape[1]
    sums = _sums(rows)
    late = np.array([m for m in LENGTHS if m <= n // 2])
    means = (sums[:, [n]] - sums[:, n - late]) / late
    variances = np.array([mean_variance(int(m)) for m in late])
    best = np.full(len(rows), -np.inf)
    for w in _early_lengths(n):
        lowest = np.minimum.accumulate((sums[:, w:] - sums[:, :-w]) / w, axis=1)  # of the windows that end by then
        fits = late <= n - w
        rise = means[:, fits] - lowest[:, n - late[fits] - w]
        np.maximum(best, (rise / np.sqrt(variances[fits] + mean_variance(w))).max(axis=1), out=best)
    return best


def highest_contrasts(rows: Floats) -> tuple[Floats, Ints]:
    """Return for every row how far any window lies above the lowest one before it, and the end of that window.

    Formula: as of `final_contrasts`, with the later window anywhere.

    Returns:
        The contrast of each row, and the index of the last value of its later window.
    """
    count, n = rows.shape
    sums = _sums(rows)
    best, ends = np.full(count, -np.inf), np.full(count, n - 1)
    late = [m for m in FEWER_LENGTHS if m <= n // 2]
    means = {m: (sums[:, m:] - sums[:, :-m]) / m for m in late}
    every = np.arange(count)
    for w in _early_lengths(n, FEWER_LENGTHS):
        lowest = np.minimum.accumulate((sums[:, w:] - sums[:, :-w]) / w, axis=1)
        for m in (m for m in late if m <= n - w):
            rise = means[m][:, w:] - lowest[:, : n - m - w + 1]
            top = rise.argmax(axis=1)
            contrast = rise[every, top] / np.sqrt(mean_variance(w) + mean_variance(m))
            higher = contrast > best
            best[higher], ends[higher] = contrast[higher], (top + w + m - 1)[higher]
    return best, ends


def lowest_window(row: Floats) -> slice:
    """Return the window that the end of a row lies furthest above, as indices."""
    n = len(row)
    sums = _sums(row[None])[0]
    best, window = -np.inf, slice(0, 1)
    for m in (m for m in LENGTHS if m <= n // 2):
        for w in (w for w in _early_lengths(n) if w <= n - m):
            means = (sums[w : n - m + 1] - sums[: n - m + 1 - w]) / w
            first = int(np.argmin(means))
            contrast = ((sums[n] - sums[n - m]) / m - means[first]) / np.sqrt(mean_variance(w) + mean_variance(m))
            if contrast > best:
                best, window = contrast, slice(first, first + w)
    return window


def without_each(row: Floats) -> Floats:
    """Return a series without each of its n values in turn, n × (n − 1)."""
    n = len(row)
    columns = np.arange(n - 1)
    return np.asarray(row[columns + (columns >= np.arange(n)[:, None])])


def _sums(rows: Floats) -> Floats:
    """Return the sums of the first k values of each row, for every k from 0 on."""
    sums = np.zeros((len(rows), rows.shape[1] + 1))
    np.cumsum(rows, axis=1, out=sums[:, 1:])
    return sums


def _early_lengths(n: int, lengths: tuple[int, ...] = LENGTHS) -> list[int]:
    """Return the lengths of the earlier window in series of n values."""
    least = LEAST_EARLY if n >= LEAST_ROW else 1
    return [w for w in lengths if least <= w < n]
