"""States at a bounded number of positions, chosen by a hash before the first of them comes."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from functools import partial
from typing import ClassVar, Self

import numpy as np

from degen.arrays import Floats, Ints, Mask
from degen.device import copied_ahead
from degen.probe import Batch, Site
from degen.text.windows import Sample

from .shared_states import Accumulator
from .state_rows import StateRows

POSITIONS = 2000


def position_hashes(windows: Ints, positions: Ints) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Return a hash of each position of each window: the second output of SplitMix64 from their numbers.

    Args:
        windows: number of each window in the sample.
        positions: of a token in that window.

    Returns:
        As many whole numbers from 0 to 2⁶⁴ − 1, the same in every run.

    Source: Steele, Lea and Flood 2014, Fast splittable pseudorandom number generators.
    """
    x = (windows.astype(np.uint64) << np.uint64(32)) ^ positions.astype(np.uint64)
    for _ in range(2):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return x


class ChosenRows(Accumulator):
    """The states at some positions of the sample; where there are more than `limit`, at those with the least hashes.

    So which positions they are depends on the sample alone: not on the batches, nor on the order in which they come.
    Of each domain that is kept apart there are as many, those that its windows alone would give; the whole sample's are
    among them, but for those of other domains.

    Attributes:
        limit: the most positions.
    """

    limit: ClassVar[int] = POSITIONS

    def __init__(self, sample: Sample, first: int = 0) -> None:
        super().__init__(sample, first)
        windows, positions = self.candidates()
        numbers = np.asarray([w.number for w in sample.windows], dtype=np.int64)
        order = np.argsort(position_hashes(numbers[windows], positions), kind="stable")
        domains = self.domains.of_window[windows[order]]
        of_whole, of_domain = np.zeros(len(order), dtype=bool), np.zeros(len(order), dtype=bool)
        of_whole[: self.limit] = True
        if len(self.domains.names) > 1:
            for domain in range(min(self.most_domains, len(self.domains.names))):
                of_domain[np.flatnonzero(domains == domain)[: self.limit]] = True
        kept = np.flatnonzero(of_whole | of_domain)
        kept = kept[np.argsort(order[kept])]
        self.windows, self.positions = windows[order[kept]], positions[order[kept]]
        self._of_whole: Mask = of_whole[kept]
        self._domains: Ints = np.where(of_domain[kept], domains[kept], -1)
        # A row that is never written takes no memory: zeros are given by the system when they are first touched.
        self.rows: dict[Site, np.ndarray[tuple[int, int], np.dtype[np.floating]]] = {}
        self.filled: dict[Site, np.ndarray[tuple[int], np.dtype[np.bool_]]] = {}

    @abstractmethod
    def candidates(self) -> tuple[Ints, Ints]:
        """Return the positions to choose from: index of the window in the sample, and position in it."""

    @classmethod
    def numbers(cls, width: int) -> int:
        """Return how many numbers are kept of one domain at a site."""
        return cls.limit * width

    def add(self, batch: Batch, site: Site, rows: StateRows) -> None:
        """Keep the states of a batch at the chosen positions."""
        import torch

        kept = (self._domains >= 0) & (self._domains < self.kept(rows.states.shape[-1]))
        slots = np.flatnonzero(np.isin(self.windows, batch.windows) & (self._of_whole | kept))
        if not len(slots):
            return
        row_of = {window: row for row, window in enumerate(batch.windows.tolist())}
        in_batch = np.asarray([row_of[window] for window in self.windows[slots].tolist()], dtype=np.int64)
        device = rows.states.device
        index = (torch.from_numpy(in_batch), torch.from_numpy(self.positions[slots] - batch.first))
        taken = rows.states[tuple(copied_ahead(i, device) for i in index)]
        exact = taken if taken.dtype.itemsize == 8 else taken.float()
        batch.read(partial(self._keep, site, slots), exact)

    def _keep(self, site: Site, slots: Ints, states: Floats) -> None:
        if site not in self.rows:
            self.rows[site] = np.zeros((len(self.windows), states.shape[1]), dtype=states.dtype)
            self.filled[site] = np.zeros(len(self.windows), dtype=bool)
        self.rows[site][slots] = states
        self.filled[site][slots] = True

    def _slots(self, site: Site, domain: int | None) -> Ints:
        """Return which of the positions have states of a site, of one domain or of the whole sample."""
        if site not in self.filled:
            return np.zeros(0, dtype=np.int64)
        chosen = self._of_whole if domain is None else self._domains == domain
        return np.flatnonzero(self.filled[site] & chosen)

    def states(self, site: Site, domain: int | None = None) -> Floats:
        """Return the states h at the chosen positions, n × d float64, in the order of the sample.

        Args:
            site: where the states were taken.
            domain: index of a domain that is kept apart; None for the positions of the whole sample.
        """
        if site not in self.rows:
            return np.zeros((0, 0))
        states: Floats = self.rows[site][self._slots(site, domain)].astype(np.float64)
        return states

    def different_states(self, site: Site, domain: int | None = None) -> Floats:
        """Return the states without copies, n × d float64: equal ones, and those behind the same tokens.

        A causal model gives the same state behind the same tokens, but for rounding.
        """
        first: dict[bytes, int] = {}
        for slot in self._slots(site, domain).tolist():
            tokens = self.sample.windows[self.windows[slot]].tokens[: self.positions[slot] + 1]
            first.setdefault(hashlib.sha256(tokens.tobytes()).digest(), slot)
        if not first:
            return np.zeros((0, 0))
        states: Floats = self.rows[site][list(first.values())].astype(np.float64) + 0.0  # −0 is 0
        as_bytes = np.ascontiguousarray(states).view(np.dtype((np.void, states.dtype.itemsize * states.shape[1])))
        return states[np.sort(np.unique(as_bytes.ravel(), return_index=True)[1])]

    def merge(self, other: Self) -> None:
        """Add the states that another instance kept."""
        for site, rows in other.rows.items():
            slots = np.flatnonzero(other.filled[site])
            self._keep(site, slots, rows[slots].astype(rows.dtype))


class Reservoir(ChosenRows):
    """The states at 2,000 positions of the sample and of each domain, or at all of fewer."""

    def candidates(self) -> tuple[Ints, Ints]:
        """Return every position that is not left out."""
        lengths = np.asarray([max(len(w.tokens) - self.first, 0) for w in self.sample.windows], dtype=np.int64)
        windows = np.repeat(np.arange(len(lengths)), lengths)
        starts = np.repeat(lengths.cumsum() - lengths, lengths)
        return windows, np.arange(len(windows)) - starts + self.first


class LastTokens(ChosenRows):
    """The states at the last position of each window, or of 2,000 of them."""

    def candidates(self) -> tuple[Ints, Ints]:
        """Return the last position of every window."""
        lengths = np.asarray([len(w.tokens) for w in self.sample.windows], dtype=np.int64)
        windows = np.flatnonzero(lengths > self.first)
        return windows, lengths[windows] - 1
