"""The states of a batch at one site as rows in float64, copied once for all accumulators."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Ints
from degen.device import as_float64
from degen.probe import Batch, Site

if TYPE_CHECKING:
    import torch


class StateRows:
    """The states of the tokens of a batch at one site, without padding.

    Args:
        batch: the windows.
        site: where the states were taken.
        states: B × T × d in the model's dtype.
    """

    def __init__(self, batch: Batch, site: Site, states: torch.Tensor) -> None:
        self.batch = batch
        self.site = site
        self.states = states

    @cached_property
    def values(self) -> torch.Tensor:
        """The states h, n × d float64, window after window: on their device, or on the CPU without float64 there."""
        if self.batch.mask is None:
            return as_float64(self.states.flatten(0, 1))
        rows, columns = self.batch.at
        return as_float64(self.states[rows.to(self.states.device), columns.to(self.states.device)])

    @cached_property
    def norms(self) -> torch.Tensor:
        """The lengths ‖h‖, n."""
        norms: torch.Tensor = self.values.norm(dim=1)
        return norms

    @cached_property
    def inverse_norms(self) -> torch.Tensor:
        """1/‖h‖, n; 0 for a vector of length zero."""
        return self.norms.reciprocal().masked_fill(self.norms == 0, 0.0)

    @cached_property
    def window_rows(self) -> Ints:
        """The row of the batch that each token is in, n."""
        return np.repeat(np.arange(len(self.batch.windows)), self.batch.row_lengths)
