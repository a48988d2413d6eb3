"""Massive activations: the largest coordinate of a state against the median one, and the norm of the first token."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np

from degen.arrays import Floats
from degen.device import as_float64
from degen.probe import Batch, Site
from degen.states.chosen_rows import Reservoir
from degen.states.shared_states import Accumulator, StateProbe
from degen.states.state_rows import StateRows
from degen.tables import Column, Metric, Row
from degen.text.windows import Sample


class MedianRows(Reservoir):
    """The states at 256 positions, whose coordinates are enough for a median."""

    limit = 256


@dataclass
class _Extremes:
    """Of one site: the largest |h|, and the sums and counts of ‖h‖ of first tokens and of all others."""

    largest: float = 0.0
    first_sum: float = 0.0
    firsts: int = 0
    other_sum: float = 0.0
    others: int = 0

    def add(self, other: _Extremes) -> None:
        self.largest = float(np.maximum(self.largest, other.largest))  # NaN stays NaN
        self.first_sum += other.first_sum
        self.firsts += other.firsts
        self.other_sum += other.other_sum
        self.others += other.others


class Extremes(Accumulator):
    """The largest coordinate and the norms of every site, each state read twice and never copied."""

    def __init__(self, sample: Sample, first: int = 0) -> None:
        super().__init__(sample, first)
        self.sites: dict[Site, _Extremes] = {}

    def add(self, batch: Batch, site: Site, rows: StateRows) -> None:
        """Add the states of a batch at one site."""
        import torch

        states = rows.states
        if batch.mask is not None:  # states behind the end of a window may be NaN
            states = states.masked_fill(~batch.mask.to(states.device).unsqueeze(-1), 0.0)
        least, largest = torch.aminmax(states)
        precise = torch.float64 if states.dtype == torch.float64 else torch.float32
        norms = as_float64(torch.linalg.vector_norm(states, dim=-1, dtype=precise))
        counted = int((batch.row_lengths > 0).sum()) if batch.first == 0 else 0
        first_sum = norms[:, 0].sum() if counted else norms.new_zeros(())
        others = int(batch.row_lengths.sum()) - counted
        extremes = largest.to(precise), least.to(precise)  # NumPy has no bfloat16
        batch.read(partial(self._add, site, counted, others), *extremes, first_sum, norms.sum())

    def _add(self, site: Site, firsts: int, others: int, *read: Floats) -> None:
        largest, least, first_sum, norm_sum = map(float, read)
        extremes = _Extremes(max(largest, -least), first_sum, firsts, norm_sum - first_sum, others)
        if math.isnan(norm_sum):
            extremes.largest = math.nan
        self.sites.setdefault(site, _Extremes()).add(extremes)

    def merge(self, other: Self) -> None:
        """Add what another instance was given."""
        for site, extremes in other.sites.items():
            self.sites.setdefault(site, _Extremes()).add(extremes)


class MassiveActivations(StateProbe):
    """The largest |h| of any token over the median |h|, and the mean norm of first tokens over that of the others."""

    measures = "largest coordinate of the states over the median one, and norm of the first token, at every layer"
    accumulators = (Extremes, MedianRows)
    default = True
    cost = "two readings of the states; memory: 256 states a site"
    metrics = (
        Metric(
            ("max_activation", "max_over_median"),
            formula="max |h| over all tokens and coordinates; the same over the median |h| of 256 positions",
            source="Sun et al. 2024 (arXiv 2402.17762)",
            range="1 to infinity; the authors call above 1,000 massive where max |h| is above 100",
            high="few coordinates of few tokens are huge, which cosines and spectra then show alone",
            low="no coordinate stands out",
            clashes="outlier dimensions, which are large for every token; kurtosis of activations",
        ),
        Metric(
            ("first_token_norm_ratio",),
            formula="mean ‖h‖ of the first tokens of windows / mean ‖h‖ of all others",
            source="Sun et al. 2024 (arXiv 2402.17762); of attention, Xiao et al. 2024 (arXiv 2309.17453)",
            range="0 to infinity",
            high="the first token is a sink: --skip-first 1 leaves it out",
            low="near 1 the first token is like any other",
            clashes="attention sinks, which are of attention weights",
        ),
    )
    columns = {
        "layers": (
            Column("max_activation", "float64", "", "largest |h| of any coordinate of any token"),
            Column("max_over_median", "float64", "", "max_activation over the median |h| of 256 positions"),
            Column("first_token_norm_ratio", "float64", "",
                   "mean ‖h‖ of first tokens over that of the others; null where first positions are left out"),
        )
    }  # fmt: skip

    def layer_row(self, site: Site) -> Row:
        """Return the columns of table `layers` for one site."""
        extremes = self.shared.get(Extremes).sites[site]
        if not math.isfinite(extremes.largest):
            return {"reason": "its states are not finite"}
        median = float(np.median(np.abs(self.shared.get(MedianRows).states(site))))
        row: Row = {"max_activation": extremes.largest}
        reasons = []
        if median > 0:
            row["max_over_median"] = extremes.largest / median
        else:
            reasons.append("max_over_median has no median: half of the coordinates are zero")
        if not extremes.others or not extremes.firsts:
            which = "first token" if not extremes.firsts else "token but the first"
            reasons.append(f"first_token_norm_ratio has no {which} to compare")
        elif extremes.other_sum > 0:
            row["first_token_norm_ratio"] = (
                extremes.first_sum / extremes.firsts / (extremes.other_sum / extremes.others)
            )
        else:
            reasons.append("first_token_norm_ratio: all tokens but the first are zero")
        return row | {"reason": "; ".join(reasons) or None}
