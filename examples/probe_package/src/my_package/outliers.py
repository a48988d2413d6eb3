"""Outlier dimensions: the share of the states' energy in the most active dimension."""

from functools import partial

from degen.device import as_float64
from degen.probe import StreamProbe
from degen.tables import Column


class Outliers(StreamProbe):
    measures = "share of the states' energy in the most active dimension, at every layer"
    needs = frozenset({"states"})
    columns = {"layers": [Column("outlier_share", "float64", "", "max_k Σ h_k² / Σ ‖h‖² over all tokens")]}

    def __init__(self, sample):
        super().__init__(sample)
        self.energy = {}  # site -> Σ h_k², shape (d,)

    def update_states(self, batch, site, states):
        taken = states.flatten(0, 1) if batch.mask is None else states[batch.at]  # padding may be anything, NaN too
        batch.read(partial(self.add, site), as_float64(taken).pow(2).sum(dim=0))

    def add(self, site, energy):
        self.energy[site] = self.energy.get(site, 0) + energy

    def merge(self, other):
        for site, energy in other.energy.items():
            self.energy[site] = self.energy.get(site, 0) + energy

    def finish(self):
        return {
            "layers": [
                {"layer": site.layer, "site": site.name, "outlier_share": float(e.max() / e.sum())}
                for site, e in self.energy.items()
            ]
        }
