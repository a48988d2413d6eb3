"""The sums of the directions of the states of every site, and of their squares by coordinate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from degen.arrays import Floats
from degen.probe import Batch, Site
from degen.text.windows import Sample

from .shared_states import Accumulator
from .state_rows import StateRows

if TYPE_CHECKING:
    import torch


class SiteDirections:
    """Sums over the states of one site that have a direction ĥ = h/‖h‖, float64, kept where the states are.

    Attributes:
        count: how many were added, those of length zero among them.
        nonzero: how many have a direction.
        sum: Σ ĥ, d.
        squares: Σ ĥ_k² for every coordinate k, d.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        import torch

        self.count = 0
        self.nonzero = torch.zeros((), dtype=torch.int64, device=device)
        self.sum, self.squares = torch.zeros((2, width), dtype=torch.float64, device=device)

    def add(self, rows: StateRows) -> None:
        """Add the states of a batch."""
        inverse = rows.inverse_norms
        self.count += len(inverse)
        self.nonzero += (rows.norms != 0).sum()
        self.sum += inverse @ rows.values
        self.squares += inverse.square() @ rows.values.square()

    def merge(self, other: SiteDirections) -> None:
        """Add the sums over other states."""
        self.count += other.count
        for name in ("nonzero", "sum", "squares"):
            getattr(self, name).add_(getattr(other, name).to(self.sum.device))

    def arrays(self) -> tuple[Floats, Floats, int]:
        """Return Σ ĥ, Σ ĥ_k² and how many states have a direction."""
        return self.sum.cpu().numpy(), self.squares.cpu().numpy(), int(self.nonzero)


class Directions(Accumulator):
    """The sums of directions of the states of every site."""

    def __init__(self, sample: Sample, first: int = 0) -> None:
        super().__init__(sample, first)
        self.sites: dict[Site, SiteDirections] = {}

    def add(self, batch: Batch, site: Site, rows: StateRows) -> None:
        """Add the states of a batch at one site."""
        if site not in self.sites:
            self.sites[site] = SiteDirections(rows.values.shape[1], rows.values.device)
        self.sites[site].add(rows)

    def merge(self, other: Self) -> None:
        """Add the sums of another instance."""
        for site, directions in other.sites.items():
            if site not in self.sites:
                self.sites[site] = SiteDirections(len(directions.sum), directions.sum.device)
            self.sites[site].merge(directions)
