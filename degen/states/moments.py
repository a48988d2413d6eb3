"""The first and second moments of the states of every site, and the spectra that follow from them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats

from .state_rows import Vectors
from .summed_parts import SummedParts, Sums

if TYPE_CHECKING:
    import torch


COST = (
    "Σ h hᵀ at every site, which probes of states share: 2·d² FLOPs a token; memory: d² numbers in float64 a site, and "
    "again for each of 3 domains, or of so many that they take no more than 256 MiB a site"
)


def _products(values: torch.Tensor) -> torch.Tensor:
    """Return Σ h hᵀ, d × d float64. On a CPU by NumPy, which computes one half of the symmetric matrix alone."""
    import torch

    if values.device.type != "cpu":
        return values.T @ values
    rows = values.numpy()
    with np.errstate(all="ignore"):  # NaN and infinity are found when all is summed
        return torch.from_numpy(rows.T @ rows)


class SiteMoments(Sums):
    """Sums over the n states of one site, float64, kept where the states are.

    Attributes:
        count: n.
        sum: Σ h, d.
        products: Σ h hᵀ, d × d.
        square_sum: Σ ‖h‖⁴.
        weighted_sum: Σ ‖h‖² h, d.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        import torch

        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self.count = 0
        self.sum, self.products = zeros(width), zeros(width, width)
        self.square_sum, self.weighted_sum = zeros(), zeros(width)

    def add(self, rows: Vectors) -> None:
        """Add some states."""
        values, squares = rows.values, rows.norms.square()
        self.count += len(values)
        self.sum += values.sum(dim=0)
        self.products += _products(values)
        self.square_sum += squares @ squares
        self.weighted_sum += squares @ values

    def merge(self, other: SiteMoments) -> None:
        """Add the sums over other states."""
        self.count += other.count
        for name in ("sum", "products", "square_sum", "weighted_sum"):
            getattr(self, name).add_(getattr(other, name).to(self.sum.device))

    @property
    def width(self) -> int:
        """The width d of the states."""
        return len(self.sum)

    @cached_property
    def are_finite(self) -> bool:
        """Whether no state was NaN or infinite, nor too large for its square in float64."""
        return bool(self.products.isfinite().all() and self.square_sum.isfinite())

    @cached_property
    def mean(self) -> Floats:
        """The mean state μ = Σ h / n, d."""
        mean: Floats = (self.sum / self.count).cpu().numpy()
        return mean

    @cached_property
    def energy(self) -> float:
        """The mean squared length, Σ ‖h‖² / n = tr(Σ h hᵀ) / n."""
        return float(self.products.trace()) / self.count

    @cached_property
    def second_moment_eigenvalues(self) -> Floats:
        """The eigenvalues of Σ h hᵀ / n, descending: σ²/n of the singular values σ of the n × d matrix of states."""
        return self._eigenvalues(self.products / self.count)

    @cached_property
    def covariance_eigenvalues(self) -> Floats:
        """The eigenvalues of the covariance Σ h hᵀ / n − μ μᵀ, descending."""
        mean = self.sum / self.count
        return self._eigenvalues(self.products / self.count - mean.outer(mean))

    def _eigenvalues(self, matrix: torch.Tensor) -> Floats:
        """Return the eigenvalues of a d × d moment, descending, with 0 for those that rounding alone may have made.

        That is below d · 2⁻⁵² of the mean squared length: a sum of squares in float64 is not known better. Of the d
        eigenvalues no more than n are above zero.
        """
        import torch

        if matrix.device.type == "cpu":
            values: Floats = np.linalg.eigvalsh(matrix.numpy())[::-1].copy()
        else:
            values = torch.linalg.eigvalsh(matrix).flip(0).cpu().numpy()
        values[values <= len(values) * np.finfo(np.float64).eps * self.energy] = 0.0
        values[self.count :] = 0.0
        return values


class Moments(SummedParts[SiteMoments]):
    """The moments of the states of every site."""

    kind = SiteMoments

    @classmethod
    def numbers(cls, width: int) -> int:
        """Return how many numbers are kept of one domain at a site: those of Σ h hᵀ."""
        return width**2
