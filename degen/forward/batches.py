"""Windows as padded batches on a device, each prepared while the one before it is used."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from degen.probe import Batch
from degen.text.windows import Sample, batches

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


def padded_batches(
    sample: Sample, batch_tokens: int, device: torch.device, halves: bool, padded: bool = True
) -> Iterator[Batch]:
    """Yield the windows of a sample as batches on a device, longest first; see `batches` for the arguments."""
    import torch

    for rows in batches(sample, batch_tokens, halves, padded):
        lengths = np.asarray([len(sample.windows[i].tokens) for i in rows])
        ids = np.zeros((len(rows), lengths.max()), dtype=np.int64)
        for row, i in enumerate(rows):
            ids[row, : lengths[row]] = sample.windows[i].tokens
        mask = np.arange(lengths.max()) < lengths[:, None]
        windows = np.asarray(rows, dtype=np.int64)

        def on_device(array: np.ndarray[Any, Any]) -> torch.Tensor:
            tensor = torch.from_numpy(array)
            return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)

        yield Batch(on_device(ids), None if mask.all() else on_device(mask), windows, sample.document_slots[windows])


def prefetched(items: Iterator[T]) -> Iterator[T]:
    """Yield the items, each prepared in a thread while the one before it is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item
