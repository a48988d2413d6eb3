"""A matrix that is not in memory as a whole: its rows are fetched when they are read, a block at a time.

It stands where a tensor would: a slice of its rows fetches these rows, any other use fetches all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from .rows_tensor import Fetch


def rows_on_demand(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, fetch: Fetch) -> torch.Tensor:
    """Return a tensor whose rows are fetched when they are read.

    Args:
        shape: of the whole.
        dtype: of what is read; what `fetch` returns is converted to it.
        device: of what is read; what `fetch` returns is moved there.
        fetch: returns some rows, by the first and the last (excluded).
    """
    from .rows_tensor import RowsOnDemand

    matrix: torch.Tensor = RowsOnDemand(shape, dtype, device, fetch)
    return matrix


def is_on_demand(tensor: object) -> bool:
    """Return whether the rows of a tensor are fetched when they are read."""
    from .rows_tensor import RowsOnDemand

    return isinstance(tensor, RowsOnDemand)
