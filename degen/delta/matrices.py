"""Matrices of updates and weights, in float64: products of thin factors, Kronecker products, and rows of files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from degen.errors import NotFiniteError

if TYPE_CHECKING:
    import torch

BLOCK_VALUES = 1 << 21  # float64 values of a block of rows: 16 MiB

Shape = tuple[int, int]


class Matrix(ABC):
    """A matrix of n rows (output) and m columns (input) whose rows can be computed a few at a time.

    Attributes:
        shape: (n, m).
    """

    shape: Shape

    @abstractmethod
    def rows(self, first: int, last: int) -> torch.Tensor:
        """Return the rows `first` to `last` − 1, float64."""

    def blocks(self) -> Iterator[tuple[int, int, torch.Tensor]]:
        """Yield all rows in order, in blocks of up to 2²¹ values: first row, the row behind the last, and the block.

        Raises:
            NotFiniteError: a block holds NaN or infinity.
        """
        rows, columns = self.shape
        step = max(BLOCK_VALUES // max(columns, 1), 1)
        for first in range(0, rows, step):
            last = min(first + step, rows)
            yield first, last, finite(self.rows(first, last))

    def whole(self) -> torch.Tensor:
        """Return the whole matrix, n × m float64."""
        return finite(self.rows(0, self.shape[0]))


def finite(values: torch.Tensor) -> torch.Tensor:
    """Return values as they are.

    Raises:
        NotFiniteError: one of them is NaN or infinite.
    """
    if not values.sum().isfinite() and not values.isfinite().all():  # the sum takes less time, and rarely overflows
        raise NotFiniteError("it holds NaN or infinity")
    return values


class LowRank(Matrix):
    """A product BA of thin factors, which is never formed whole.

    Args:
        left: B, n × r.
        right: A, r × m.
    """

    def __init__(self, left: torch.Tensor, right: torch.Tensor) -> None:
        self.left, self.right = finite(left.double()), finite(right.double())
        self.shape = left.shape[0], right.shape[1]

    @property
    def inner(self) -> int:
        """The number r of columns of B."""
        return self.left.shape[1]

    def rows(self, first: int, last: int) -> torch.Tensor:
        """Return rows of the product, float64."""
        return self.left[first:last] @ self.right


class Kronecker(Matrix):
    """A Kronecker product C ⊗ D, which is never formed whole.

    Args:
        first: C, a × b.
        second: D, c × d; the product is ac × bd.
    """

    def __init__(self, first: torch.Tensor, second: torch.Tensor) -> None:
        self.first, self.second = finite(first.double()), finite(second.double())
        self.shape = first.shape[0] * second.shape[0], first.shape[1] * second.shape[1]

    def rows(self, first: int, last: int) -> torch.Tensor:
        """Return rows of the product, float64: row i·c + j is C_i ⊗ D_j."""
        import torch

        index = torch.arange(first, last)
        outer, inner = self.first[index // len(self.second)], self.second[index % len(self.second)]
        return (outer.unsqueeze(2) * inner.unsqueeze(1)).flatten(1)


@dataclass
class ReadRows(Matrix):
    """A matrix whose rows a function computes or reads.

    Attributes:
        shape: (n, m).
        read: returns the rows from its first argument to before its second, of any floating-point type.
    """

    shape: Shape
    read: Callable[[int, int], torch.Tensor]

    def rows(self, first: int, last: int) -> torch.Tensor:
        """Return rows, float64."""
        return self.read(first, last).double()


class Transposed(Matrix):
    """The transpose of another matrix, held in memory whole."""

    def __init__(self, matrix: Matrix) -> None:
        self.shape = matrix.shape[1], matrix.shape[0]
        self._held = matrix.whole().T.contiguous()

    def rows(self, first: int, last: int) -> torch.Tensor:
        """Return rows, float64."""
        return self._held[first:last]


class Sum(Matrix):
    """The sum of matrices of one shape."""

    def __init__(self, *terms: Matrix) -> None:
        self.terms = terms
        self.shape = terms[0].shape

    def rows(self, first: int, last: int) -> torch.Tensor:
        """Return rows of the sum, float64."""
        total = self.terms[0].rows(first, last)
        for term in self.terms[1:]:
            total = total + term.rows(first, last)
        return total


def add_up(terms: list[Matrix]) -> Matrix:
    """Return the sum of matrices of one shape: a product of thin factors where all are, B = [B₁ B₂ …], A below A."""
    import torch

    thin = [term for term in terms if isinstance(term, LowRank)]
    if len(thin) < len(terms) or sum(term.inner for term in thin) >= min(terms[0].shape):
        return Sum(*terms)
    return LowRank(torch.cat([t.left for t in thin], dim=1), torch.cat([t.right for t in thin]))
