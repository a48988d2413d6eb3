"""Attention sinks: how much attention the first token gets, by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from degen.arrays import Floats
from degen.errors import CheckpointError, NotFiniteError
from degen.model_probe import LoadedModel, ModelProbe
from degen.stats.jackknife import ratio_error
from degen.tables import Column, Metric, Row, Rows
from degen.text.windows import Sample

if TYPE_CHECKING:
    import torch

TOKENS, THRESHOLD, SEQUENCES = 64, 0.3, 100  # T, ε and the number of sequences of the paper


def first_token_scores(attention: torch.Tensor) -> torch.Tensor:
    """Return α₁ of every sequence and head: the mean attention to the first token.

    Formula: α₁ = 1/T Σ_i A_i1, over all queries i = 1…T, the first itself among them.

    Args:
        attention: A, B × heads × T × T, a row for each query.

    Returns:
        B × heads, float64, 1/T at least.

    Source: Gu et al. 2025, When attention sink emerges in language models (arXiv 2410.10781), section 3.2.
    """
    import torch

    first = attention[..., 0]
    return (first if first.device.type == "cpu" else first.cpu()).to(torch.float64).mean(dim=-1)


class Sinks(ModelProbe):
    """The share of heads whose mean attention to the first token exceeds 0.3, in sequences of 64 tokens."""

    measures = "share of the heads that attend to the first token above all (attention sinks), by layer"
    whole_numbers = ("sequences",)
    cost = "100 sequences of 64 tokens (option sequences) with eager attention; memory: the attention of 16 of them"
    metrics = (
        Metric(
            ("sink_share", "sink_share_se", "sink_sequences"),
            formula="mean over sequences, layers and heads of 1[α₁ > 0.3], α₁ = 1/T Σ_i A_i1, T = 64",
            source="Gu et al. 2025 (arXiv 2410.10781), their Sink₁ with ε = 0.3, as a share",
            range="0 to 1",
            high="many heads park their attention on the first token",
            low="few do: early in training, or with gates or a softmax that need not sum to one",
            clashes="massive activations, which often go with sinks and are of states; other ε, T or tokens",
        ),
        Metric(
            ("sink_attention",),
            formula="mean of α₁ over sequences and heads",
            source="Gu et al. 2025 (arXiv 2410.10781), their importance score",
            range="0 to 1; 0.074 for attention spread evenly over all tokens before",
            high="the first token gets most of the attention",
            low="it gets no more than others, or lies outside a sliding window",
            clashes="none known",
        ),
    )
    columns = {
        "checkpoints": (
            Column("sink_share", "float64", "", "mean share of heads with α₁ > 0.3 in sequences of 64", summary=True),
            Column("sink_share_se", "float64", "", "its delete-one-document jackknife standard error"),
            Column("sink_attention", "float64", "", "mean attention to the first token, α₁, over layers"),
            Column("sink_sequences", "int64", "", "sequences of 64 tokens it is a mean of"),
        ),
        "layers": (
            Column("sink_share", "float64", "", "mean share of this layer's heads with α₁ > 0.3"),
            Column("sink_attention", "float64", "", "mean attention to the first token, α₁"),
        ),
    }  # fmt: skip

    @classmethod
    def forward_tokens(cls, sequences: int = SEQUENCES, **_options: Any) -> int:
        """Return the tokens of all sequences."""
        return sequences * TOKENS

    def __init__(self, sample: Sample, sequences: int = SEQUENCES) -> None:
        super().__init__(sample)
        self._windows = [i for i, w in enumerate(sample.windows) if len(w.tokens) >= TOKENS][:sequences]

    def measure(self, model: LoadedModel) -> Rows:
        """Return rows by table: in `layers` one for every block with attention, in `checkpoints` means over them.

        Formula: Sink₁ = 1/L Σ_l 1/H Σ_h 1[α₁ > ε], a mean over sequences, each the first 64 tokens of a window.

        Raises:
            CheckpointError: there is no window of 64 tokens, or the model gives no attention weights.
            NotFiniteError: attention weights are not finite.
        """
        if not self._windows:
            raise CheckpointError(f"no window has {TOKENS} tokens; scan with a longer --context")
        batches = self._scores(model)
        layers = [layer for layer, _ in batches[0]]
        scores = [np.concatenate([batch[k][1] for batch in batches]) for k in range(len(layers))]
        if not all(np.isfinite(of_layer).all() for of_layer in scores):
            raise NotFiniteError("attention weights are NaN or infinite")
        shares = np.stack([(of_layer > THRESHOLD).mean(axis=1) for of_layer in scores])
        means = np.stack([of_layer.mean(axis=1) for of_layer in scores])
        rows: list[Row] = [
            {"layer": layer, "site": "block", "sink_share": float(share.mean()), "sink_attention": float(mean.mean())}
            for layer, share, mean in zip(layers, shares, means, strict=True)
            if layer is not None
        ]
        slots = self.sample.document_slots[self._windows]
        checkpoint: Row = {
            "sink_share": float(shares.mean()),
            "sink_share_se": ratio_error(shares.mean(axis=0), np.ones(len(slots)), slots),
            "sink_attention": float(means.mean()),
            "sink_sequences": len(slots),
        }
        if len(rows) < len(layers):
            checkpoint["reason"] = "no sinks by layer: only some of the blocks have attention weights"
        return {"checkpoints": [checkpoint], "layers": rows}

    def _scores(self, model: LoadedModel) -> list[list[tuple[int | None, Floats]]]:
        """Return for each batch the layer and α₁, sequences × heads, of every attention."""
        import torch

        size = max(min(model.batch_tokens // TOKENS, 16), 1)
        batches = []
        for first in range(0, len(self._windows), size):
            chosen = self._windows[first : first + size]
            tokens = np.stack([self.sample.windows[i].tokens[:TOKENS] for i in chosen]).astype(np.int64)
            maps = model.attentions(torch.from_numpy(tokens))
            batches.append([(layer, first_token_scores(attention).numpy()) for layer, attention in maps])
        return batches
