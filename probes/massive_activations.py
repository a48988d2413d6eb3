"""Massive activations: the largest coordinate of a state against the median one, and the norm of the first token."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np

from degen.arrays import Floats, Ints
from degen.device import as_float64
from degen.probe import Batch, Site
from degen.states.chosen_rows import Reservoir
from degen.states.shared_states import Accumulator, StateProbe
from degen.states.state_rows import StateRows
from degen.tables import Column, Metric, Row
from degen.text.windows import Sample

MANY_DOMAINS = 8


class MedianRows(Reservoir):
    """The states at 256 positions, and of each domain as many, whose coordinates are enough for a median."""

    limit = 256
    most_domains = MANY_DOMAINS


@dataclass(frozen=True)
class Extremes:
    """Of one site: the largest |h|, and the sums and counts of ‖h‖ of first tokens and of all others."""

    largest: float
    first_sum: float
    firsts: float
    other_sum: float
    others: float


class WindowExtremes(Accumulator):
    """The largest coordinate and the norms of every site and domain, each state read twice and never copied."""

    most_domains = MANY_DOMAINS

    def __init__(self, sample: Sample, first: int = 0) -> None:
        super().__init__(sample, first)
        self._largest: dict[Site, Floats] = {}  # of each domain
        self._sums: dict[Site, Floats] = {}  # first_sum, firsts, other_sum, others by domain

    @classmethod
    def numbers(cls, width: int) -> int:
        """Return how many numbers are kept of one domain at a site."""
        return 5

    def add(self, batch: Batch, site: Site, rows: StateRows) -> None:
        """Add the states of a batch at one site."""
        import torch

        states = rows.states
        if batch.mask is not None:  # states behind the end of a window may be NaN
            states = states.masked_fill(~batch.mask.to(states.device).unsqueeze(-1), 0.0)
        least, largest = torch.aminmax(states.flatten(1), dim=1)
        precise = torch.float64 if states.dtype == torch.float64 else torch.float32
        norms = as_float64(torch.linalg.vector_norm(states, dim=-1, dtype=precise))
        extremes = largest.to(precise), least.to(precise)  # NumPy has no bfloat16
        batch.read(partial(self._add_rows, site, batch), *extremes, norms[:, 0], norms.sum(dim=1))

    def _add_rows(self, site: Site, batch: Batch, *read: Floats) -> None:
        """Add the rows of a batch: of each its largest and least coordinate, the first norm, and the sum of norms."""
        largest, least, first_norms, norm_sums = (values.astype(np.float64) for values in read)
        lengths = batch.row_lengths
        firsts = (lengths > 0) & (batch.first == 0)
        first_sums = np.where(firsts, first_norms, 0.0)
        with np.errstate(invalid="ignore"):  # of infinite norms; their site has no figures
            others = norm_sums - first_sums
        sums = np.stack([first_sums, firsts, others, lengths - firsts], axis=1)
        extremes = np.where(np.isnan(norm_sums), np.nan, np.maximum(np.abs(largest), np.abs(least)))
        self._add(site, self.domains.of_window[batch.windows], extremes, sums)

    def _add(self, site: Site, domains: Ints, largest: Floats, sums: Floats) -> None:
        if site not in self._sums:
            count = len(self.domains.names)
            self._largest[site], self._sums[site] = np.zeros(count), np.zeros((count, 4))
        with np.errstate(invalid="ignore"):  # NaN stays NaN
            np.maximum.at(self._largest[site], domains, largest)
            np.add.at(self._sums[site], domains, sums)

    def of(self, site: Site, domain: int | None = None) -> Extremes:
        """Return what was found in the states of one site.

        Args:
            site: where the states were taken.
            domain: index of a domain; None for the states of all.
        """
        if domain is None:
            return Extremes(float(self._largest[site].max()), *self._sums[site].sum(axis=0).tolist())
        return Extremes(float(self._largest[site][domain]), *self._sums[site][domain].tolist())

    def merge(self, other: Self) -> None:
        """Add what another instance was given."""
        for site, sums in other._sums.items():
            self._add(site, np.arange(len(sums)), other._largest[site], sums)


class MassiveActivations(StateProbe):
    """The largest |h| of any token over the median |h|, and the mean norm of first tokens over that of the others."""

    measures = "largest coordinate of the states over the median one, and norm of the first token, at every layer"
    accumulators = (WindowExtremes, MedianRows)
    default = True
    cost = "two readings of the states; memory: 256 states a site, and of each of 8 domains"
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

    def layer_row(self, site: Site, domain: int | None = None) -> Row:
        """Return the columns of table `layers` for one site, of the states of all or of one domain."""
        extremes = self.shared.get(WindowExtremes).of(site, domain)
        if not math.isfinite(extremes.largest):
            return {"reason": "its states are not finite"}
        rows = self.shared.get(MedianRows).states(site, domain)
        if not len(rows):
            return {"reason": "no position is left of its windows"}
        median = float(np.median(np.abs(rows)))
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
