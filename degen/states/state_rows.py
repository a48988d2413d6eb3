"""The states of a batch at one site as rows in float64, copied once for all accumulators."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Ints
from degen.device import as_float64, copied_ahead
from degen.probe import Batch, Site

if TYPE_CHECKING:
    import torch


class Vectors:
    """Some states as rows.

    Args:
        values: h, n × d float64.
    """

    def __init__(self, values: torch.Tensor) -> None:
        self._given = values

    @property
    def values(self) -> torch.Tensor:
        """The states h, n × d float64."""
        return self._given

    @cached_property
    def norms(self) -> torch.Tensor:
        """The lengths ‖h‖, n."""
        norms: torch.Tensor = self.values.norm(dim=1)
        return norms

    @cached_property
    def inverse_norms(self) -> torch.Tensor:
        """1/‖h‖, n; 0 for a vector of length zero."""
        return self.norms.reciprocal().masked_fill(self.norms == 0, 0.0)


class StateRows(Vectors):
    """The states of the tokens of a batch at one site, without padding.

    Args:
        batch: the windows.
        site: where the states were taken.
        states: B × T × d in the model's dtype.
    """

    def __init__(self, batch: Batch, site: Site, states: torch.Tensor) -> None:
        super().__init__(states)
        self.batch = batch
        self.site = site
        self.states = states
        self._parts: dict[tuple[int, ...], list[tuple[int, Vectors]]] = {}

    @cached_property
    def values(self) -> torch.Tensor:
        """The states h, n × d float64, window after window: on their device, or on the CPU without float64 there."""
        if self.batch.mask is None:
            return as_float64(self.states.flatten(0, 1))
        rows, columns = self.batch.at
        return as_float64(self.states[rows.to(self.states.device), columns.to(self.states.device)])

    @cached_property
    def window_rows(self) -> Ints:
        """The row of the batch that each token is in, n."""
        return np.repeat(np.arange(len(self.batch.windows)), self.batch.row_lengths)

    def parts(self, of_rows: Ints) -> list[tuple[int, Vectors]]:
        """Return the states of every part of the batch, with its number.

        Args:
            of_rows: the number of the part that each row of the batch belongs to, B.
        """
        key = tuple(of_rows.tolist())
        if key not in self._parts:
            self._parts[key] = self._cut(of_rows[self.window_rows])
        return self._parts[key]

    def _cut(self, of_tokens: Ints) -> list[tuple[int, Vectors]]:
        """Return the states of every part, given the part of each token."""
        import torch

        numbers = np.unique(of_tokens).tolist()
        if len(numbers) == 1:
            return [(numbers[0], self)]
        device = self.values.device
        rows = [copied_ahead(torch.from_numpy(np.flatnonzero(of_tokens == number)), device) for number in numbers]
        return [(number, Vectors(self.values[own])) for number, own in zip(numbers, rows, strict=True)]
