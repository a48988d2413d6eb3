"""Windows as padded batches on a device, each prepared while the one before it is used."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from degen.device import copied_ahead
from degen.probe import Batch, Reads
from degen.text.windows import Sample, batches

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


def padded_batches(
    sample: Sample,
    batch_tokens: int,
    device: torch.device,
    halves: bool,
    padded: bool = True,
    reads: Reads | None = None,
) -> Iterator[Batch]:
    """Yield the windows of a sample as batches on a device, longest first.

    Args:
        sample: the windows.
        batch_tokens: the most tokens of a batch, padding included. A longer window makes a batch alone.
        device: of the batches.
        halves: whether windows of the fit half come before all others, with no batch of windows of both halves.
        padded: whether windows of different lengths may be in one batch.
        reads: where the results of every batch are read later; None to read them at once.
    """
    import torch

    for rows in batches(sample, batch_tokens, halves, padded):
        lengths = np.asarray([len(sample.windows[i].tokens) for i in rows])
        ids = np.zeros((len(rows), lengths.max()), dtype=np.int64)
        for row, i in enumerate(rows):
            ids[row, : lengths[row]] = sample.windows[i].tokens
        mask = np.arange(lengths.max()) < lengths[:, None]
        windows = np.asarray(rows, dtype=np.int64)

        def on_device(array: np.ndarray[Any, Any]) -> torch.Tensor:
            return copied_ahead(torch.from_numpy(array), device)

        def indices(of: np.ndarray[Any, Any]) -> tuple[torch.Tensor, torch.Tensor]:
            rows, columns = of.nonzero()
            return on_device(rows), on_device(columns)

        yield Batch(
            on_device(ids),
            None if mask.all() else on_device(mask),
            windows,
            sample.document_slots[windows],
            tokens=int(lengths.sum()),
            token_indices=indices(mask),
            scored_indices=indices(mask[:, 1:]),
            reads=reads,
            lengths=lengths,
        )


def without_first(batch: Batch, count: int) -> Batch | None:
    """Return a batch without the first positions of each row; None where no row is longer.

    Rows that are not longer have no token then. Losses of the batch would be of other tokens.
    """
    import torch

    if count == 0:
        return batch
    lengths = (batch.row_lengths - count).clip(min=0)
    if not lengths.any():
        return None
    mask = np.arange(batch.ids.shape[1] - count) < lengths[:, None]
    rows, columns = (copied_ahead(torch.from_numpy(i), batch.ids.device) for i in mask.nonzero())
    return replace(
        batch,
        ids=batch.ids[:, count:],
        mask=None if mask.all() else copied_ahead(torch.from_numpy(mask), batch.ids.device),
        tokens=int(lengths.sum()),
        token_indices=(rows, columns),
        scored_indices=None,
        lengths=lengths,
        first=batch.first + count,
    )


def prefetched(items: Iterator[T]) -> Iterator[T]:
    """Yield the items, each prepared in a thread while the one before it is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item
