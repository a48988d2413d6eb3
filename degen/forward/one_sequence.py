"""What transformers asks an accelerator about a batch of windows, answered by what the host knows of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

Asks = Callable[..., Any]


def _no_packed_sequences(_looks: Asks) -> Asks:
    """Return what says that positions do not begin anew within a row: in a window they never do."""
    return lambda position_ids: None


def _padding_is_padding(looks: Asks) -> Asks:
    """Return what says that a mask cannot be left out: a batch of whole windows has none (see `degen.probe.Batch`)."""

    @wraps(looks)
    def answer(padding_mask: Any = None, *more: Any, **options: Any) -> Any:
        return False if padding_mask is not None else looks(padding_mask, *more, **options)

    return answer


_ANSWERS = {  # functions of transformers.masking_utils, each of which waits for all that was asked before
    "find_packed_sequence_indices": _no_packed_sequences,
    "_ignore_causal_mask_sdpa": _padding_is_padding,
}


@contextmanager
def one_sequence_a_row() -> Iterator[None]:
    """Keep transformers from asking a device what a batch of windows holds, while the block lasts.

    Every row is one sequence from its first position on, and a mask comes with a batch only where a row is shorter than
    the longest. A function that another version of transformers does not have is left out.
    """
    from transformers import masking_utils

    module: Any = masking_utils
    before = {name: getattr(module, name) for name in _ANSWERS if hasattr(module, name)}
    try:
        for name, looks in before.items():
            setattr(module, name, _ANSWERS[name](looks))
        yield
    finally:
        for name, looks in before.items():
            setattr(module, name, looks)
