"""The header of a safetensors file, read and checked before anything is believed that it says.

Format: 8 bytes, the header's length n as a little-endian integer; n bytes of JSON, for every tensor its dtype, shape
and two offsets into what follows; the tensors' bytes, one behind the other without a gap.

Source: https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import CheckpointError, one_line

LONGEST = 100_000_000  # bytes of a header, as the format's own library has it
FIRST_READ = 1 << 16  # one request brings the whole header of most files

_ITEM = {
    "F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: its dtype as the format names it, its shape, its first byte and the one after its last."""

    dtype: str
    shape: tuple[int, ...]
    first: int
    last: int


def read_header(name: str, size: int, read: Callable[[int, int], bytes]) -> dict[str, Entry]:
    """The tensors of a file.

    Args:
        name: the file's name, for messages.
        size: its size in bytes.
        read: gives bytes from one place up to another.

    Raises:
        CheckpointError: the header is longer than the file or than any sound one, is no table of tensors, or its
            offsets are negative, overlap, leave gaps, lie outside the file or do not fit the shapes.
    """
    begin = read(0, min(FIRST_READ, size))
    length = int.from_bytes(begin[:8], "little") if len(begin) >= 8 else -1
    if not 2 <= length <= min(LONGEST, size - 8):
        raise _unsound(name, size, f"its header would be {length:,} bytes long" if length >= 0 else "too short")
    text = begin[8 : 8 + length]
    if len(text) < length:
        text += read(8 + len(text), 8 + length)
    try:
        header = json.loads(text)
        entries = {k: _entry(v, 8 + length) for k, v in header.items() if k != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unsound(name, size, f"its header is no table of tensors: {one_line(error, 100)}") from error
    _check_offsets(name, size, 8 + length, entries)
    return entries


def _entry(said: Any, start: int) -> Entry:
    first, last = said["data_offsets"]
    numbers = (*said["shape"], first, last)
    if not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError(f"sizes or offsets that are no such numbers: {list(numbers)[:6]}")
    return Entry(str(said["dtype"]), tuple(said["shape"]), start + first, start + last)


def _check_offsets(name: str, size: int, start: int, entries: dict[str, Entry]) -> None:
    at = start
    for key, entry in sorted(entries.items(), key=lambda item: (item[1].first, item[1].last)):
        if entry.first != at or entry.last < entry.first or entry.last > size:
            raise _unsound(
                name, size, f"{key} would lie from byte {entry.first:,} to {entry.last:,}, and {at:,} is next"
            )
        item = _ITEM.get(entry.dtype)
        if item is not None and math.prod(entry.shape) * item != entry.last - entry.first:
            raise _unsound(name, size, f"{key} is {entry.dtype} of shape {list(entry.shape)} in other bytes than that")
        at = entry.last
    if at != size:
        raise _unsound(name, size, f"its tensors end at byte {at:,}")


def _unsound(name: str, size: int, why: str) -> CheckpointError:
    return CheckpointError(f"{name}: not a sound safetensors file of {size:,} bytes ({why}); is it truncated?")


def header_of(entries: dict[str, Entry]) -> bytes:
    """Length and header of a file that holds these tensors and no others, in this order."""
    at, header = 0, {}
    for key, entry in entries.items():
        end = at + entry.last - entry.first
        header[key] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
