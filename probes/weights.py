"""Weights: the spectrum of every weight matrix, by kind and layer, from stored tensors alone."""

from __future__ import annotations

from statistics import median
from typing import Any

from degen.checkpoints.adapter_source import AdapterSource
from degen.checkpoints.source import Source
from degen.delta.base_weights import open_by_ranges
from degen.errors import CheckpointError
from degen.model.architecture import text_config
from degen.model.configuration import read_config
from degen.probe import SourceProbe
from degen.tables import Column, Rows
from degen.weight_spectra.columns import COLUMNS, METRICS, WEIGHTS
from degen.weight_spectra.measure import weight_rows


class Weights(SourceProbe):
    """The figures of every weight matrix that the files of a checkpoint hold."""

    measures = "stable and effective rank, singular entropy, norm, outliers and tail of every weight matrix"
    cost = "the singular values of every matrix in float64, each tensor read once; memory: up to 3 × the largest matrix"
    metrics = METRICS
    columns = {
        "checkpoints": (
            Column("weights_stable_rank", "float64", "dimensions", "median of the stable ranks in the blocks",
                   summary=True),
            Column("weights_tail_exponent", "float64", "", "median of the tail exponents in the blocks, of those with "
                   "50 values or more in the tail", summary=True),
        ),
        WEIGHTS: COLUMNS,
    }  # fmt: skip

    def measure(self, source: Source, first: Source) -> Rows:
        """Return rows by table: in `weights` one for every matrix, in `checkpoints` medians over those in blocks.

        Formulas: `degen.weight_spectra.matrix_figures`. An adapter has none: its own are in table `delta`.
        """
        if isinstance(source, AdapterSource):
            return {"checkpoints": [{"reason": "no weights of its own: the probe delta measures an adapter"}]}
        rows = list(weight_rows(open_by_ranges(source), _text(source)))
        inner = [row for row in rows if row["layer"] is not None]
        ranks = [row["stable_rank"] for row in inner if row.get("stable_rank") is not None]
        tails = [row["tail_exponent"] for row in inner if row.get("tail_exponent") is not None and not row["reason"]]
        summary = {
            "weights_stable_rank": median(ranks) if ranks else None,
            "weights_tail_exponent": median(tails) if tails else None,
        }
        return {"checkpoints": [summary], WEIGHTS: rows}


def _text(source: Source) -> Any:
    """Return the configuration of the text model; None where it cannot be read, so that nothing is split."""
    try:
        return text_config(read_config(source.config()))
    except CheckpointError:
        return None
