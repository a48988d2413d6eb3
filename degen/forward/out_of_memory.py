"""Out of memory: the batch is halved and the measurement repeated, until it fits or one window does not."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

from degen.device import OutOfMemoryError
from degen.errors import CheckpointError, one_line

T = TypeVar("T")


def halve_batch(
    measure: Callable[[int], T],
    batch_tokens: int,
    longest: int,
    context: str,
    on_halved: Callable[[int], None],
) -> T:
    """Return a measurement made with batches that fit into memory: if one does not, with batches of half the size.

    Sizes tried, in padded tokens of a batch: b, max(b/2, L), max(b/4, L), …, L, with L the longest window.

    Args:
        measure: makes the whole measurement, given the largest number of padded tokens in a batch.
        batch_tokens: b, the first size tried.
        longest: L, tokens; a batch holds one window at least.
        context: name of the setting that makes windows shorter, for the message.
        on_halved: called with every smaller size before it is tried.

    Returns:
        What `measure` returns.

    Raises:
        CheckpointError: a batch of one window does not fit.
    """
    while True:
        try:
            return measure(batch_tokens)
        except OutOfMemoryError as error:
            if batch_tokens <= longest:
                raise CheckpointError(
                    f"out of memory with one window of {longest} tokens; lower {context} ({one_line(error)})"
                ) from error
            batch_tokens = max(batch_tokens // 2, longest)
            on_halved(batch_tokens)
        gc.collect()  # frees what the batch held; only here is its error gone, which referred to it
