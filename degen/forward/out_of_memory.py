"""Where out of memory is handled: the batch is halved until what is measured fits, or one window does not."""

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
    """Measure with batches of a size; where one does not fit, halve the size and measure again from the beginning.

    Sizes tried, in padded tokens of a batch: b, max(b/2, L), max(b/4, L), …, L, with L the longest window.

    Args:
        measure: what is done with a size, padded tokens of a batch at most; it begins anew whenever it is called.
        batch_tokens: b, the first size tried.
        longest: L, tokens; a batch holds one window at least.
        context: how the user calls the setting that makes windows shorter, for the message.
        on_halved: called with every smaller size before it is tried.

    Returns:
        What `measure` returned.

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
        gc.collect()  # what the batch held that did not fit; its error is gone only here
