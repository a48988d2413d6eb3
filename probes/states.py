"""States: those of a bounded number of fixed positions, kept in the run for comparisons between checkpoints."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from degen.arrays import Ints
from degen.model.architecture import Architecture
from degen.probe import Batch, OutputHead, Site, StreamProbe
from degen.tables import HEAD_ROWS, STATES, Column, Metric, Row, Rows
from degen.text.sample_positions import draw_positions
from degen.text.windows import Sample

if TYPE_CHECKING:
    import torch

POSITIONS = 512
FLOAT32 = 4  # bytes


class States(StreamProbe):
    """The states of the same positions at every checkpoint, and the same rows of the head, as float32."""

    measures = "nothing by itself: it keeps the states of 512 positions, which degen similarity compares"
    needs = frozenset({"states"})
    whole_numbers = ("positions",)
    cost = "512 positions (option positions) × width × 4 bytes for every layer, in memory and in the run"
    metrics = (
        Metric(
            ("kept_positions",),
            formula="min(positions, scored tokens), less those that --skip-first leaves out",
            source="degen",
            range="0 to the option positions",
            high="more to compare, and a larger run",
            low="fewer; CKA needs four",
            clashes="none known",
        ),
    )
    columns = {
        "checkpoints": (Column("kept_positions", "int64", "", "positions whose states table states has"),),
        STATES: (
            Column("layer", "int64", "", "0 for the embedding, 1 to L for the blocks", key=True),
            Column("site", "string", "", "embedding, block or head_input", key=True),
            Column("window", "int64", "", "window of sample.parquet", key=True),
            Column("token", "int64", "", "index of the token in its window", key=True),
            Column("state", "list<float32>", "", "the state there"),
        ),
        HEAD_ROWS: (
            Column("layer", "int64", "", "L, the last", key=True),
            Column("site", "string", "", "head", key=True),
            Column("token_id", "int64", "", "the row's token", key=True),
            Column("state", "list<float32>", "", "the row of the LM head"),
        ),
    }  # fmt: skip

    @classmethod
    def stored_bytes(cls, shape: Architecture, positions: int = POSITIONS, **_options: Any) -> int:
        """Return the bytes of the states of all sites, and of the rows of the head, before compression."""
        widths = (shape.layers + 1) * shape.hidden_size + 2 * shape.head_size
        return positions * widths * FLOAT32

    def __init__(self, sample: Sample, positions: int = POSITIONS) -> None:
        super().__init__(sample)
        self._count = positions
        self._positions = draw_positions(sample, positions)
        self._states: dict[Site, np.ndarray] = {}
        self._seen = np.zeros(len(self._positions), dtype=bool)
        self._rows: tuple[Ints, np.ndarray] | None = None

    def begin(self, head: OutputHead) -> None:
        """Keep some rows of the head, the same at every checkpoint."""
        import torch

        rows = len(head.weight)
        ids = np.sort(np.random.default_rng(0).choice(rows, min(self._count, rows), replace=False))
        chosen = head.weight[torch.from_numpy(ids).to(head.weight.device)]
        self._rows = ids, chosen.float().cpu().numpy()

    def update_states(self, batch: Batch, site: Site, states: torch.Tensor) -> None:
        """Keep the states of a batch that are among the positions, as float32."""
        import torch

        rows, columns, numbers = self._positions.in_rows(batch.windows, batch.first)
        if not len(rows):
            return
        at = tuple(torch.from_numpy(index).to(states.device) for index in (rows, columns))
        batch.read(partial(self._keep, site, numbers), states[at].float())

    def _keep(self, site: Site, numbers: Ints, states: np.ndarray) -> None:
        if site not in self._states:
            self._states[site] = np.zeros((len(self._positions), states.shape[1]), dtype=np.float32)
        self._states[site][numbers] = states
        self._seen[numbers] = True

    def merge(self, other: Self) -> None:
        """Take what another instance saw."""
        for site, states in other._states.items():
            mine = self._states.setdefault(site, np.zeros_like(states))
            mine[other._seen] = states[other._seen]
        self._seen |= other._seen
        self._rows = self._rows or other._rows

    def finish(self) -> Rows:
        """Return rows by table: in `states` one for each site and position, in `head_rows` one for each row kept."""
        sites = sorted(self._states, key=lambda s: (s.layer, s.name == "head_input"))
        at = np.flatnonzero(self._seen)
        windows = [self.sample.windows[i].number for i in self._positions.windows[at]]
        tokens = self._positions.tokens[at].tolist()
        rows: list[Row] = [
            {"layer": site.layer, "site": site.name, "window": window, "token": token, "state": state}
            for site in sites
            for window, token, state in zip(windows, tokens, self._states[site][at], strict=True)
        ]
        last = max((site.layer for site in sites), default=0)
        ids, values = self._rows if self._rows is not None else (np.zeros(0, dtype=np.int64), np.zeros((0, 0)))
        head = [
            {"layer": last, "site": "head", "token_id": int(i), "state": row}
            for i, row in zip(ids, values, strict=True)
        ]
        return {"checkpoints": [{"kept_positions": len(at)}], STATES: rows, HEAD_ROWS: head}
