"""The scored windows of a checkpoint: its loss, and covariances of losses on the same windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats, Ints
from degen.readers.columns import bounded
from degen.stats.document_interval import JackknifeRange, jackknife_range
from degen.stats.jackknife import leave_one_out_ratios, ratio_error

if TYPE_CHECKING:
    import pyarrow as pa

WINDOW_COLUMNS = ("window", "document", "domain", "tokens", "loss")  # of table `windows`
_NEEDED = ("window", "document", "tokens", "loss")


@dataclass(frozen=True, eq=False)
class WindowLosses:
    """The scored windows of one checkpoint, sorted by number.

    Attributes:
        windows: number of each window.
        documents: number of the document that each is cut from.
        tokens: scored tokens of each.
        losses: mean loss of each, nats per token.
    """

    windows: Ints
    documents: Ints
    tokens: Floats
    losses: Floats

    def mean(self) -> float:
        """Return the loss over all scored tokens, Σ loss · tokens / Σ tokens, in nats per token."""
        return float((self.losses * self.tokens).sum() / self.tokens.sum())

    def error(self) -> float | None:
        """Return the delete-one-document jackknife error of the mean; None with fewer than two documents."""
        with np.errstate(invalid="ignore"):  # of infinite losses
            return _finite(ratio_error(self.losses * self.tokens, self.tokens, self._document_slots()))

    def spread(self) -> JackknifeRange | None:
        """Return how far single documents move the mean; None with fewer than two of them, or infinite losses."""
        with np.errstate(invalid="ignore"):
            return jackknife_range(leave_one_out_ratios(self.losses * self.tokens, self.tokens, self._document_slots()))

    @property
    def freedom(self) -> int:
        """Degrees of freedom of its errors: documents − 1."""
        return len(np.unique(self.documents)) - 1

    def same_windows(self, other: WindowLosses) -> bool:
        """Return whether `other`, of another checkpoint, has the same windows with the same scored tokens."""
        return (
            np.array_equal(self.windows, other.windows)
            and np.array_equal(self.documents, other.documents)
            and np.array_equal(self.tokens, other.tokens)
        )

    def difference_error(self, other: WindowLosses, weight: float = 1.0) -> float | None:
        """Return the standard error of the difference from the loss of another checkpoint on the same windows.

        Formula: the delete-one-document jackknife of Σ (a − w·b) · tokens / Σ tokens, a and b the losses of a window.

        Args:
            other: the windows of the other checkpoint.
            weight: w, the factor of its losses.

        Returns:
            The error in nats per token; None where the windows differ, or lie in fewer than two documents.
        """
        if not self.same_windows(other):
            return None
        with np.errstate(invalid="ignore"):  # of infinite losses
            differences = (self.losses - weight * other.losses) * self.tokens
            return _finite(ratio_error(differences, self.tokens, self._document_slots()))

    def _document_slots(self) -> Ints:
        """Return the index of the document of each window, from 0."""
        slots: Ints = np.unique(self.documents, return_inverse=True)[1]
        return slots


def read_window_losses(table: pa.Table, domain: str | None = None) -> WindowLosses | None:
    """Return the scored windows of a checkpoint from its rows of table `windows`.

    Args:
        table: the rows of one checkpoint.
        domain: the domain of the windows; None for all domains.

    Returns:
        The windows with scored tokens; None where there are none, or a column is missing.
    """
    needed = {*_NEEDED, *(["domain"] if domain is not None else [])}
    if not needed <= set(table.column_names):
        return None
    # by way of lists, because Arrow's conversion to NumPy loads pandas
    columns = {name: table[name].to_pylist() for name in needed}
    tokens = np.array(columns["tokens"], dtype=np.float64)
    kept = tokens > 0
    if domain is not None:
        kept &= np.array([d == domain for d in columns["domain"]], dtype=bool)
    if not kept.any():
        return None
    windows = np.array(columns["window"], dtype=np.int64)[kept]
    order = np.argsort(windows, kind="stable")
    documents = np.array(columns["document"], dtype=np.int64)[kept]
    losses = bounded(np.array(columns["loss"], dtype=np.float64)[kept])
    return WindowLosses(windows[order], documents[order], tokens[kept][order], losses[order])


def paired_covariance(checkpoints: Sequence[WindowLosses | None]) -> Floats | None:
    """Return the delete-one-document jackknife covariance of the losses of checkpoints scored on the same windows.

    Formula: (W − 1)/W · Σ_w d_w d_wᵀ, where d_w holds θ₍w₎ − θ̄ for each checkpoint: its loss without document w, less
    the mean of θ over all W documents. The diagonal is the square of the jackknife standard error.

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
    known = np.array([c is not None for c in checkpoints])
    covariance = np.full((len(checkpoints), len(checkpoints)), np.nan)
    with np.errstate(invalid="ignore"):  # of infinite losses
        left_out = (sums.sum(axis=1, keepdims=True) - sums) / (counts.sum() - counts)
        away = left_out - left_out.mean(axis=1, keepdims=True)
        covariance[np.ix_(known, known)] = (len(counts) - 1) / len(counts) * (away @ away.T)
    return covariance


def _finite(error: float | None) -> float | None:
    return error if error is not None and math.isfinite(error) else None
