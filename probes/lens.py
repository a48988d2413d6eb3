"""Logit lens: what the LM head would predict from the states of every layer, behind the model's own final norm."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Self

import numpy as np

from degen.arrays import Floats, Ints
from degen.forward.head_entropy import losses_and_entropies
from degen.probe import Batch, OutputHead, Site, StreamProbe
from degen.stats.jackknife import ratio_error
from degen.tables import Column, Metric, Row, Rows
from degen.text.sample_positions import draw_positions
from degen.text.windows import Sample

if TYPE_CHECKING:
    import torch

POSITIONS = 2000


class Lens(StreamProbe):
    """Cross-entropy and entropy of the head on each layer's normed states, at a bounded number of positions."""

    measures = "loss and entropy of the LM head on the states of every layer, behind the final norm (logit lens)"
    needs = frozenset({"states", "readout"})
    whole_numbers = ("positions",)
    cost = "the head on 2,000 positions (option positions) of every layer, no pass of its own; memory: a tile of logits"
    metrics = (
        Metric(
            ("lens_loss", "lens_loss_se"),
            formula="mean of −ln softmax(f(g(h) Wᵀ + b))_y, with g all that lies between the last block and the head",
            source="nostalgebraist 2020, interpreting GPT: the logit lens",
            range="0 to infinity; ln V for a flat guess",
            high="the head cannot read this layer, which need not mean that it knows nothing",
            low="the layer's states already say the next token in the head's own terms",
            clashes="the tuned lens (arXiv 2303.08112) trains a map for each layer first, and gives less",
        ),
        Metric(
            ("lens_entropy",),
            formula="mean of −Σ p ln p, p as above",
            source="Belrose et al. 2023 (arXiv 2303.08112)",
            range="0 to ln V",
            high="the head is undecided",
            low="it is sure, rightly or wrongly: compare lens_loss",
            clashes="singular entropy, which is of weights",
        ),
    )
    columns = {
        "layers": (
            Column("lens_loss", "float64", "nats/token", "mean cross-entropy of the head on the layer's normed states"),
            Column("lens_loss_se", "float64", "nats/token", "its delete-one-document jackknife standard error"),
            Column("lens_entropy", "float64", "nats", "mean entropy of what the head predicts from them"),
        ),
    }  # fmt: skip

    def __init__(self, sample: Sample, positions: int = POSITIONS) -> None:
        super().__init__(sample)
        self._positions = draw_positions(sample, positions)
        self._head: OutputHead | None = None
        self._sums: dict[Site, Floats] = {}  # by window: Σ losses, Σ entropies, how many

    def begin(self, head: OutputHead) -> None:
        """Keep the head, and what lies before it."""
        self._head = head

    def update_states(self, batch: Batch, site: Site, states: torch.Tensor) -> None:
        """Add what the head makes of the states of one site.

        Formula: z = f(g(h) Wᵀ + b), with g what lies between the last block and the head; at `head_input` g has been
        applied already.

        Source: nostalgebraist 2020, interpreting GPT: the logit lens; Belrose et al. 2023 (arXiv 2303.08112).
        """
        import torch

        assert self._head is not None
        assert self._head.readout is not None
        rows, columns, _ = self._positions.in_rows(batch.windows, batch.first)
        if not len(rows) or (self._head.readout.reason is not None and site.name != "head_input"):
            return
        at, next_at = (
            tuple(torch.from_numpy(index).to(states.device) for index in (rows, columns + k)) for k in (0, 1)
        )
        chosen = states[at]
        if site.name != "head_input":
            chosen = self._head.readout(chosen)
        losses, entropies = losses_and_entropies(chosen, batch.ids[next_at], self._head)
        batch.read(partial(self._add, site, batch.windows[rows]), losses, entropies)

    def _add(self, site: Site, windows: Ints, losses: Floats, entropies: Floats) -> None:
        sums = self._sums.setdefault(site, np.zeros((3, len(self.sample.windows))))
        for of_kind, values in zip(sums, (losses, entropies, np.ones(len(losses))), strict=True):
            np.add.at(of_kind, windows, values.astype(np.float64))

    def merge(self, other: Self) -> None:
        """Add another instance's sums."""
        for site, sums in other._sums.items():
            self._sums[site] = self._sums[site] + sums if site in self._sums else sums
        self._head = self._head or other._head

    def finish(self) -> Rows:
        """Return rows by table: in `layers` one for every layer and site, in `checkpoints` why there is none.

        Formulas: means over the positions; the jackknife leaves out one document's sums at a time.
        """
        rows: list[Row] = []
        for site in sorted(self._sums, key=lambda s: (s.layer, s.name == "head_input")):
            losses, entropies, counts = self._sums[site]
            taken = float(counts.sum())
            rows.append({
                "layer": site.layer, "site": site.name, "lens_loss": float(losses.sum()) / taken,
                "lens_loss_se": ratio_error(losses, counts, self.sample.document_slots),
                "lens_entropy": float(entropies.sum()) / taken,
            })  # fmt: skip
        reason = self._head.readout.reason if self._head is not None and self._head.readout is not None else None
        return {"layers": rows, "checkpoints": [{"reason": f"no lens of inner layers: {reason}"}] if reason else []}
