"""Windows are single sequences, which transformers need not ask an accelerator about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOOKS = "find_packed_sequence_indices"


@contextmanager
def one_sequence_a_row() -> Iterator[None]:
    """Keep transformers from looking for several sequences packed into one row while the block lasts.

    Where a model is called without a mask, transformers asks the device whether positions begin anew within a row, and
    waits for all that the device was asked to do before. In a window they never do.
    """
    from transformers import masking_utils

    module: Any = masking_utils
    looks = getattr(module, _LOOKS, None)
    if looks is None:  # another version, which has no such function
        yield
        return
    setattr(module, _LOOKS, lambda position_ids: None)
    try:
        yield
    finally:
        setattr(module, _LOOKS, looks)
