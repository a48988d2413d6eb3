"""The class of tensors whose rows are fetched when they are read; imported late, because it needs torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Fetch = Callable[[int, int], Any]  # first and last row (excluded) -> these rows
BLOCK = 4096  # rows that are fetched at a time where some among many are read

_WITHOUT_DATA = {
    getattr(torch.Tensor, name).__get__ for name in ("shape", "dtype", "device", "is_meta", "ndim", "is_cuda")
} | {
    getattr(torch.Tensor, name)
    for name in ("__len__", "dim", "size", "numel", "element_size", "is_floating_point")
}  # fmt: skip


class RowsOnDemand(torch.Tensor):
    """A tensor of known shape whose rows are fetched when they are read."""

    fetch: Fetch

    def __new__(cls, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, fetch: Fetch) -> Any:
        """Make a tensor without memory of its own."""
        made = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=dtype, device=device)
        made.fetch = fetch
        return made

    def __init__(self, *_arguments: Any) -> None:
        super().__init__()

    @classmethod
    def __torch_function__(cls, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Fetch the rows that a function of torch reads, and call it with them."""
        if func in _WITHOUT_DATA:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        if func is torch.Tensor.detach:
            return args[0]
        if func is torch.Tensor.__getitem__ and isinstance(args[1], slice):
            return _slice(args[0], *args[1].indices(len(args[0])))
        whole = [_whole(value) for value in args]
        return func(*whole, **{name: _whole(value) for name, value in (kwargs or {}).items()})

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Fetch all rows for what torch calls beneath its functions."""
        whole = [_whole(value) for value in args]
        return func(*whole, **{name: _whole(value) for name, value in (kwargs or {}).items()})

    def on(self, device: str) -> Any:
        """Return the same rows, moved to another device as they are read."""
        return RowsOnDemand(tuple(self.shape), self.dtype, torch.device(device), self.fetch)

    def __repr__(self) -> str:  # type: ignore[override]
        return f"RowsOnDemand({tuple(self.shape)}, {self.dtype}, {self.device})"


def _read(matrix: Any, first: int, last: int) -> torch.Tensor:
    rows: torch.Tensor = matrix.fetch(first, last).to(device=matrix.device, dtype=matrix.dtype)
    return rows


def _slice(matrix: Any, first: int, last: int, step: int) -> torch.Tensor:
    if step == 1 or first >= last:
        return _read(matrix, first, max(first, last))
    size = max(BLOCK // step, 1) * step  # so that each block begins with a row of the slice
    return torch.cat([_read(matrix, i, min(i + size, last))[::step] for i in range(first, last, size)])


def _whole(value: Any) -> Any:
    return _read(value, 0, len(value)) if isinstance(value, RowsOnDemand) else value
