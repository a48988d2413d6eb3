"""The first and second moments of the states of every site, and the spectra that follow from them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats
from degen.device import gram

from .state_rows import Vectors
from .summed_parts import SummedParts, Sums

if TYPE_CHECKING:
    import torch


COST = (
    "Σ h hᵀ at every site, which probes of states share: 2·d² FLOPs a token; memory: d² numbers in float64 a site, and "
    "again for each of 3 domains, or of so many that they take no more than 256 MiB a site"
)


def _on_cpu(tensor: torch.Tensor) -> bool:
    """Return whether NumPy computes with a tensor; what torch does elsewhere a test does on a CPU, too."""
    return tensor.device.type == "cpu"


def _products(values: torch.Tensor) -> torch.Tensor:
    """Return Σ h hᵀ, d × d float64; NaN and infinity are found when all is summed."""
    return gram(values) if _on_cpu(values) else values.T @ values


class SiteMoments(Sums):
    """Sums over the n states h of one site, taken from an origin c near their mean, float64, kept where the states are.

    With y = h − c, so that states far from zero, as massive activations make them, leave as many digits of their
    variance as states around zero. c is the mean of the states that come first, in float32, which states that are all
    equal hit exactly.

    Attributes:
        count: n.
        origin: c, d; zeros before states came.
        sum: Σ y, d.
        products: Σ y yᵀ, d × d.
        square_sum: Σ ‖y‖⁴.
        weighted_sum: Σ ‖y‖² y, d.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        import torch

        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self.count = 0
        self.origin, self.sum, self.products = zeros(width), zeros(width), zeros(width, width)
        self.square_sum, self.weighted_sum = zeros(), zeros(width)

    def add(self, rows: Vectors) -> None:
        """Add some states."""
        values = rows.values
        if not self.count and len(values):
            self.origin = values.mean(dim=0).float().double().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        values = values - self.origin
        squares = values.square().sum(dim=1)
        self.count += len(values)
        self.sum += values.sum(dim=0)
        self.products += _products(values)
        self.square_sum += squares @ squares
        self.weighted_sum += squares @ values

    def merge(self, other: SiteMoments) -> None:
        """Add the sums over other states, taken from their origin c′: with δ = c′ − c, those of y + δ."""
        if not other.count:
            return
        device = self.sum.device
        n, y, P = other.count, other.sum.to(device), other.products.to(device)
        if not self.count:
            self.origin = other.origin.to(device)
        δ = other.origin.to(device) - self.origin
        length, along, Pδ, trace = δ @ δ, y @ δ, P @ δ, P.trace()
        weighted = other.weighted_sum.to(device)
        self.count += n
        self.sum += y + n * δ
        self.products += P + y.outer(δ) + δ.outer(y) + n * δ.outer(δ)
        self.weighted_sum += weighted + trace * δ + 2 * Pδ + 2 * along * δ + length * (y + n * δ)
        self.square_sum += (
            other.square_sum.to(device)
            + 4 * (δ @ Pδ + weighted @ δ + length * along)
            + 2 * length * trace
            + n * length.square()
        )

    @property
    def width(self) -> int:
        """The width d of the states."""
        return len(self.sum)

    @cached_property
    def are_finite(self) -> bool:
        """Whether no state was NaN or infinite, nor too large for its square in float64."""
        return bool(self.products.isfinite().all() and self.square_sum.isfinite())

    @property
    def from_origin(self) -> torch.Tensor:
        """The mean state less the origin, Σ y / n, d."""
        return self.sum / self.count

    @property
    def square_from_origin(self) -> float:
        """The mean squared distance to the origin, Σ ‖y‖² / n = tr(Σ y yᵀ) / n."""
        return float(self.products.trace()) / self.count

    @cached_property
    def mean(self) -> Floats:
        """The mean state μ = c + Σ y / n, d."""
        mean: Floats = (self.origin + self.from_origin).cpu().numpy()
        return mean

    @cached_property
    def energy(self) -> float:
        """The mean squared length, Σ ‖h‖² / n = Σ ‖y‖² / n + 2⟨c, Σ y / n⟩ + ‖c‖²."""
        return self.square_from_origin + float(self.origin @ (2 * self.from_origin + self.origin))

    @property
    def second_moment(self) -> torch.Tensor:
        """The matrix Σ h hᵀ / n, d × d."""
        mixed = self.origin.outer(self.from_origin + self.origin / 2)
        return self.products / self.count + mixed + mixed.T

    @cached_property
    def second_moment_eigenvalues(self) -> Floats:
        """The eigenvalues of Σ h hᵀ / n, descending: σ²/n of the singular values σ of the n × d matrix of states."""
        return self._eigenvalues(self.second_moment, self.energy)

    @cached_property
    def covariance_eigenvalues(self) -> Floats:
        """The eigenvalues of the covariance Σ y yᵀ / n − ȳ ȳᵀ, ȳ = Σ y / n, descending."""
        y = self.from_origin
        return self._eigenvalues(self.products / self.count - y.outer(y), self.square_from_origin)

    @cached_property
    def variances(self) -> Floats:
        """The variance of each coordinate, d; 0 where rounding alone may have made it."""
        second, mean = self.products.diagonal() / self.count, self.from_origin
        values: Floats = (second - mean.square()).cpu().numpy()
        values[values <= self.width * np.finfo(np.float64).eps * second.cpu().numpy()] = 0.0
        return values

    def _eigenvalues(self, matrix: torch.Tensor, square: float) -> Floats:
        """Return the eigenvalues of a d × d moment, descending, with 0 for those that rounding alone may have made.

        That is below d · 2⁻⁵² of the mean square that was summed: a sum of squares in float64 is not known better. Of
        the d eigenvalues no more than n are above zero.
        """
        import torch

        if _on_cpu(matrix):
            values: Floats = np.linalg.eigvalsh(matrix.numpy())[::-1].copy()
        else:
            values = torch.linalg.eigvalsh(matrix).flip(0).cpu().numpy()
        values[values <= len(values) * np.finfo(np.float64).eps * square] = 0.0
        values[self.count :] = 0.0
        return values


class Moments(SummedParts[SiteMoments]):
    """The moments of the states of every site."""

    kind = SiteMoments

    @classmethod
    def numbers(cls, width: int) -> int:
        """Return how many numbers are kept of one domain at a site: those of Σ h hᵀ."""
        return width**2
