"""Loss: next-token cross-entropy, per window and over all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Self

import numpy as np

from degen.arrays import Floats, Ints
from degen.device import as_float64
from degen.probe import Batch, StreamProbe
from degen.stats.jackknife import ratio_error
from degen.tables import DOMAINS, Column, Metric, Row, Rows
from degen.text.domains import documents_by_domain, windows_by_domain
from degen.text.windows import Sample

if TYPE_CHECKING:
    import torch


def bits_per_byte(nats: float, size: int) -> float | None:
    """Return bits per byte, nats / (ln 2 · size); None where `size` is 0.

    Args:
        nats: the loss summed over all scored tokens.
        size: the UTF-8 bytes of these tokens.
    """
    return nats / (math.log(2) * size) if size else None


class Loss(StreamProbe):
    """Mean next-token cross-entropy in nats; the first position of a window is not scored."""

    measures = "next-token cross-entropy, perplexity and bits per byte, with the loss of every window"
    needs = frozenset({"losses"})
    default = True
    cost = "the logits of every token, which the pass makes anyway; memory: two numbers a window"
    metrics = (
        Metric(
            ("loss", "loss_se", "tokens", "tokens_scored"),
            formula="−(1/n) Σ ln p(token | those before it in its window), over the n scored tokens",
            source="Shannon 1948",
            range="0 to infinity; ln V for a uniform guess",
            high="text that the model predicts badly",
            low="text that it predicts well, or has seen",
            clashes="per-byte and per-word losses; loss in bits, which is loss/ln 2",
        ),
        Metric(
            ("perplexity",),
            formula="exp(loss)",
            source="Jelinek et al. 1977",
            range="1 to infinity; V for a uniform guess",
            high="text that the model predicts badly",
            low="text that it predicts well, or has seen",
            clashes="word-level perplexity, and that of a sliding window, which are other numbers on the same text",
        ),
        Metric(
            ("bits_per_byte",),
            formula="Σ nats / (ln 2 · UTF-8 bytes of the scored tokens)",
            source="Gao et al. 2020 (arXiv 2101.00027), section 3.1",
            range="0 to infinity; 8 for a uniform guess of bytes",
            high="text that the model predicts badly, whatever its tokenizer",
            low="text that it predicts well, or has seen",
            clashes="bits per character, which differs outside ASCII",
        ),
    )
    columns = {
        "checkpoints": (
            Column("loss", "float64", "nats/token", "mean next-token cross-entropy of the scored tokens", summary=True),
            Column("loss_se", "float64", "nats/token", "its delete-one-document jackknife standard error"),
            Column("perplexity", "float64", "", "exp(loss)"),
            Column("bits_per_byte", "float64", "bits/byte", "Σ nats / (ln 2 · bytes of the scored tokens)"),
            Column("tokens_scored", "int64", "tokens", "tokens the loss is a mean of"),
        ),
        "windows": (
            Column("loss", "float64", "nats/token", "mean cross-entropy over the window's scored tokens"),
            Column("tokens", "int64", "tokens", "scored tokens of the window"),
        ),
        DOMAINS: (
            Column("loss", "float64", "nats/token", "mean cross-entropy of the scored tokens of the domain"),
            Column("loss_se", "float64", "nats/token", "its delete-one-document jackknife standard error"),
            Column("perplexity", "float64", "", "exp(loss)"),
            Column("bits_per_byte", "float64", "bits/byte", "Σ nats / (ln 2 · bytes of the scored tokens)"),
            Column("tokens_scored", "int64", "tokens", "tokens the loss is a mean of"),
        ),
    }  # fmt: skip

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample)
        self._nats: Floats = np.zeros(len(sample.windows))
        self._scored: Floats = np.zeros(len(sample.windows))

    def update_losses(self, batch: Batch, losses: torch.Tensor, scored: torch.Tensor) -> None:
        """Add the tokens of a batch to their windows, in float64."""

        def add(nats: Floats, counts: Ints) -> None:
            self._nats[batch.windows] += nats
            self._scored[batch.windows] += counts

        nats = as_float64(losses)
        batch.read(add, (nats * scored.to(nats.device)).sum(dim=1), scored.sum(dim=1))

    def merge(self, other: Self) -> None:
        """Add another instance's sums."""
        self._nats += other._nats
        self._scored += other._scored

    def finish(self) -> Rows:
        """Return rows by table: the loss of all tokens in `checkpoints`, of each window in `windows`, of each domain.

        Formulas: loss = Σ nats / Σ scored tokens; the jackknife leaves out one document's sums at a time.
        """
        windows = [
            {"window": w.number, "loss": float(x) / int(k) if k else None, "tokens": int(k)}
            for w, x, k in zip(self.sample.windows, self._nats, self._scored, strict=True)
        ]
        documents = {domain: len(slots) for domain, slots in documents_by_domain(self.sample).items()}
        domains = [
            {"domain": domain, "layer": None, "site": None, "documents": documents[domain], **self._figures(indices)}
            for domain, indices in windows_by_domain(self.sample).items()
        ]
        for row in domains:
            if row["documents"] == 1:
                row["reason"] = "no standard error of the loss: the domain has one document"
        whole = self._figures(np.arange(len(self.sample.windows)))
        return {"checkpoints": [whole], "windows": windows, DOMAINS: domains}

    def _figures(self, windows: Ints) -> Row:
        """Return the columns of table `checkpoints` for some windows, by their indices in the sample."""
        nats, scored = float(self._nats[windows].sum()), int(self._scored[windows].sum())
        if not scored:
            return {"tokens_scored": 0}
        loss = nats / scored
        _, slots = np.unique(self.sample.document_slots[windows], return_inverse=True)
        return {
            "loss": loss,
            "loss_se": ratio_error(self._nats[windows], self._scored[windows], slots),
            "perplexity": math.exp(loss) if loss < 700 else math.inf,
            "bits_per_byte": bits_per_byte(nats, sum(self.sample.windows[i].bytes for i in windows.tolist())),
            "tokens_scored": scored,
        }
