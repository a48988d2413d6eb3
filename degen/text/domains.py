"""The domains of a sample: which of its documents and windows are of which."""

from __future__ import annotations

import numpy as np

from degen.arrays import Ints

from .windows import Sample


def documents_by_domain(sample: Sample) -> dict[str | None, Ints]:
    """Return the documents of every domain, as indices among those of the sample, in the order of their first windows.

    A document whose domain is unknown is under None.
    """
    found: dict[str | None, dict[int, None]] = {}
    for window, slot in zip(sample.windows, sample.document_slots.tolist(), strict=True):
        found.setdefault(window.domain, {})[slot] = None
    return {domain: np.asarray(list(slots), dtype=np.int64) for domain, slots in found.items()}


def windows_by_domain(sample: Sample) -> dict[str | None, Ints]:
    """Return the windows of every domain, as indices in the sample; those of unknown domain under None."""
    found: dict[str | None, list[int]] = {}
    for index, window in enumerate(sample.windows):
        found.setdefault(window.domain, []).append(index)
    return {domain: np.asarray(indices, dtype=np.int64) for domain, indices in found.items()}
