"""The sums of the directions of the states of every site, and of their squares by coordinate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from degen.arrays import Floats

from .state_rows import Vectors
from .summed_parts import SummedParts, Sums

if TYPE_CHECKING:
    import torch


class SiteDirections(Sums):
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

    def add(self, rows: Vectors) -> None:
        """Add some states."""
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


class Directions(SummedParts[SiteDirections]):
    """The sums of directions of the states of every site."""

    kind = SiteDirections

    @classmethod
    def numbers(cls, width: int) -> int:
        """Return how many numbers are kept of one domain at a site."""
        return 2 * width
