"""How values of two checkpoints err together: both were measured on the same windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.arrays import Floats, Ints

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class WindowLosses:
    """The scored windows of one checkpoint, in the order of their numbers: mean loss (nats), tokens, document."""

    windows: Ints
    documents: Ints
    tokens: Floats
    losses: Floats

    def same_windows(self, other: WindowLosses) -> bool:
        """Whether another checkpoint was measured on the very same windows."""
        return (
            np.array_equal(self.windows, other.windows)
            and np.array_equal(self.documents, other.documents)
            and np.array_equal(self.tokens, other.tokens)
        )


def window_losses(table: pa.Table, model: str) -> dict[str, WindowLosses]:
    """The windows of a model's checkpoints, by revision.

    Args:
        table: a run's table `windows`.
        model: label of the series.
    """
    import pyarrow.compute as pc

    table = table.filter(pc.and_kleene(pc.equal(table["model"], model), pc.greater(table["tokens"], 0)))
    revisions = np.array(table["revision"].to_pylist(), dtype=object)
    columns: list[np.ndarray[Any, Any]] = [table[name].to_numpy() for name in ("window", "document", "tokens", "loss")]
    found = {}
    for revision in dict.fromkeys(revisions.tolist()):
        rows = np.flatnonzero(revisions == revision)
        rows = rows[np.argsort(columns[0][rows], kind="stable")]
        windows, documents, tokens, losses = (column[rows] for column in columns)
        found[revision] = WindowLosses(windows, documents, tokens.astype(np.float64), losses.astype(np.float64))
    return found


def paired_covariance(checkpoints: Sequence[WindowLosses | None]) -> Floats | None:
    """Delete-one-document jackknife covariance of the mean losses of checkpoints that share their windows.

    Formula: (W − 1)/W · Σ_w d_w d_wᵀ, where d_w holds for each checkpoint θ₍w₎ − θ̄: its loss without document w, less
    the mean of those over all W documents. The diagonal is the square of the jackknife standard error.

    Args:
        checkpoints: n of them; None for one that has no loss, whose row and column are NaN.

    Returns:
        n × n, nats² per token²; None where windows differ or lie in fewer than two documents.
    """
    measured = [c for c in checkpoints if c is not None]
    if not measured or not all(c.same_windows(measured[0]) for c in measured):
        return None
    _, slots = np.unique(measured[0].documents, return_inverse=True)
    counts = np.bincount(slots, measured[0].tokens)
    if len(counts) < 2:
        return None
    sums = np.array([np.bincount(slots, c.losses * c.tokens) for c in measured])  # checkpoints × documents
    left_out = (sums.sum(axis=1, keepdims=True) - sums) / (counts.sum() - counts)
    away = left_out - left_out.mean(axis=1, keepdims=True)
    known = np.array([c is not None for c in checkpoints])
    covariance = np.full((len(checkpoints), len(checkpoints)), np.nan)
    covariance[np.ix_(known, known)] = (len(counts) - 1) / len(counts) * (away @ away.T)
    return covariance
