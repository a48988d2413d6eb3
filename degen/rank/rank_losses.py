"""Losses of restricted heads against that of the full head, on the same tokens: their gap, paired by document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats, Ints
from degen.device import as_float64
from degen.probe import Batch
from degen.stats.jackknife import ratio_error
from degen.tables import Row
from degen.text.windows import Sample

if TYPE_CHECKING:
    import torch


class RankLosses:
    """The losses in nats of the full head and of restricted heads, summed by window.

    Column 0 is that of the full head; those of the restricted heads follow.

    Args:
        sample: the windows.
        heads: how many restricted heads `add` gets the losses of.
    """

    def __init__(self, sample: Sample, heads: int) -> None:
        self._documents = sample.document_slots
        self._nats: Floats = np.zeros((len(sample.windows), 1 + heads))
        self.scored: Floats = np.zeros(len(sample.windows))  # tokens by window

    def add(self, batch: Batch, scored: torch.Tensor, losses: Sequence[torch.Tensor]) -> None:
        """Add the scored tokens of a batch.

        Args:
            batch: some windows.
            scored: which of their tokens 1…T−1 count, B × (T − 1).
            losses: nats of the N tokens that count, as tensors of N rows with a column for each head: the full head
                first, then the restricted ones.
        """
        import torch

        def add(nats: Floats, rows: Ints, counts: Ints) -> None:
            sums = torch.zeros(len(batch.windows), nats.shape[1], dtype=torch.float64)
            sums.index_add_(0, torch.from_numpy(rows), torch.from_numpy(nats))
            self._nats[batch.windows] += sums.numpy()
            self.scored[batch.windows] += counts

        nats = as_float64(torch.cat(list(losses), dim=1))
        batch.read(add, nats, batch.scored_at[0], scored.sum(dim=1))

    def append(self, nats: Floats) -> None:
        """Append the columns of further heads, whose losses on the same tokens the caller summed.

        Args:
            nats: windows × further heads.
        """
        self._nats = np.concatenate([self._nats, nats], axis=1)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the standard errors: one less than there are documents of equal weight.

        Formula: (Σ n_w)² / Σ n_w² − 1, n_w the scored tokens of a document (Kish 1965).
        """
        tokens = np.bincount(self._documents, self.scored)
        return float(tokens.sum() ** 2 / np.square(tokens).sum() - 1)

    def row(self, column: int) -> Row:
        """Return the loss of the head in `column` and its gap to the full head, with standard errors, nats per token.

        Formulas: loss = Σ nats / Σ tokens; gap = Σ (nats − those of the full head) / Σ tokens; the jackknife leaves out
        one document's sums at a time.
        """
        nats, full, total = self._nats[:, column], self._nats[:, 0], self.scored.sum()
        loss = float(nats.sum() / total)
        return {
            "loss": loss,
            "loss_se": ratio_error(nats, self.scored, self._documents),
            "loss_gap": float((nats - full).sum() / total),
            "loss_gap_se": ratio_error(nats - full, self.scored, self._documents),
            "perplexity": math.exp(loss) if loss < 700 else math.inf,
        }
