"""Standard errors by the jackknife: the statistic without each document in turn."""

from __future__ import annotations

import math

import numpy as np

from degen.arrays import Floats, Ints


def jackknife_error(leave_one_out: Floats) -> float | None:
    """Return the delete-one-document jackknife standard error of a statistic.

    Formula: sqrt((W − 1)/W · Σ_w (θ₍w₎ − θ̄)²), with θ₍w₎ the statistic without document w and θ̄ their mean.
    Tokens of a document depend on each other; documents do not.

    Args:
        leave_one_out: θ₍w₎ for each of the W documents, in the statistic's unit.

    Returns:
        The error in the statistic's unit; None with fewer than two documents, or where a θ₍w₎ is NaN or infinite.

    Source: Efron and Stein 1981, The jackknife estimate of variance.
    """
    documents = len(leave_one_out)
    if documents < 2 or not np.isfinite(leave_one_out).all():
        return None
    spread = float(np.sum((leave_one_out - leave_one_out.mean()) ** 2))
    return math.sqrt((documents - 1) / documents * spread)


def ratio_error(sums: Floats, counts: Floats, slots: Ints) -> float | None:
    """Return the jackknife standard error of Σ sums / Σ counts, leaving out one document at a time.

    Args:
        sums: the sum over the tokens of each window, in the statistic's unit times tokens.
        counts: the number of tokens of each window; a document without any is ignored.
        slots: the index of the document of each window, from 0.

    Returns:
        The error in the statistic's unit; None with fewer than two documents that have tokens.
    """
    return jackknife_error(leave_one_out_ratios(sums, counts, slots))


def leave_one_out_ratios(sums: Floats, counts: Floats, slots: Ints) -> Floats:
    """Return Σ sums / Σ counts without each document in turn, for every document that has tokens.

    The arguments are those of `ratio_error`.
    """
    own_sums, own_counts = np.bincount(slots, sums), np.bincount(slots, counts)
    rest = own_counts.sum() - own_counts
    left_out: Floats = np.divide(own_sums.sum() - own_sums, rest, out=np.full(len(rest), np.nan), where=rest > 0)
    with_tokens: Floats = left_out[own_counts > 0]
    return with_tokens
