"""The header of a safetensors file: read, and checked before it is used.

Format: 8 bytes, the header's length n as a little-endian integer; n bytes of JSON, for every tensor its dtype, shape
and two offsets into what follows; the tensors' bytes, one behind the other without a gap.

Source: https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from degen.errors import CheckpointError, one_line

MAX_LENGTH = 100_000_000  # bytes of a header, as in the format's own library
FIRST_READ = 1 << 16  # one request brings the whole header of most files
_LIMIT = 1 << 64  # numbers of the format are smaller

_BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16,
    "U16": 16, "I8": 8, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One tensor of a file.

    Attributes:
        dtype: as the format names it, `F32`.
        shape: its dimensions.
        first: where its bytes begin in the file.
        last: where they end, the byte after the last.
    """

    dtype: str
    shape: tuple[int, ...]
    first: int
    last: int


def read_header(name: str, size: int, read: Callable[[int, int], bytes]) -> dict[str, Entry]:
    """Return the entry of every tensor of a file, by name.

    Args:
        name: the file's name, for messages.
        size: its size in bytes.
        read: returns the bytes `first` to `last` − 1 of the file, given the two.

    Raises:
        CheckpointError: the header is longer than the file or than the format allows, is no table of tensors, or its
            offsets are negative, overlap, leave gaps, lie outside the file or do not fit the shapes.
    """
    begin = read(0, min(FIRST_READ, size))
    length = int.from_bytes(begin[:8], "little") if len(begin) >= 8 else -1
    if not 2 <= length <= min(MAX_LENGTH, size - 8):
        raise _unsound(name, size, f"its header would be {length:,} bytes long" if length >= 0 else "too short")
    text = begin[8 : 8 + length]
    if len(text) < length:
        text += read(8 + len(text), 8 + length)
    try:
        entries = _entries(text.decode(), 8 + length)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _unsound(name, size, f"its header is no table of tensors: {one_line(error, 100)}") from error
    _check_offsets(name, size, 8 + length, entries)
    return entries


def _entries(text: str, start: int) -> dict[str, Entry]:
    header: Any = json.loads(text, object_pairs_hook=_unique_names, parse_int=_number)
    metadata: Any = header.pop("__metadata__", None) if isinstance(header, dict) else []
    if metadata is not None:
        "".join(metadata.values()).encode()  # fails unless all values are texts
    return {key: _entry(fields, start) for key, fields in header.items()}


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name is there twice")
    "".join(fields).encode()  # fails where a name has half a surrogate pair
    return fields


def _number(digits: str) -> int:
    """Return a size or an offset; Python itself would read numbers of any length."""
    if digits.startswith("-") or len(digits) > 20 or int(digits) >= _LIMIT:
        raise ValueError(f"{digits[:24]} is no size and no offset")
    return int(digits)


def _entry(fields: Any, start: int) -> Entry:
    if not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError("a tensor has dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if dtype not in _BITS:
        raise ValueError(f"{dtype!r:.24} is no dtype")
    if not (isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2):
        raise ValueError("shape and data_offsets are lists, the latter of two")
    if not all(type(n) is int for n in (*shape, *offsets)):
        raise ValueError("sizes and offsets are whole numbers")
    return Entry(dtype, tuple(shape), start + offsets[0], start + offsets[1])


def _check_offsets(name: str, size: int, start: int, entries: dict[str, Entry]) -> None:
    at = start
    for key, entry in sorted(entries.items(), key=lambda item: (item[1].first, item[1].last)):
        shown = key if key.isprintable() and len(key) <= 200 else repr(key[:200])
        if entry.first != at or entry.last < entry.first or entry.last > size:
            raise _unsound(
                name, size, f"{shown} would be at bytes {entry.first:,} to {entry.last:,}, and byte {at:,} comes next"
            )
        if _bits(entry) != 8 * (entry.last - entry.first):
            shape = " × ".join(map(str, entry.shape[:6])) + (" × …" if len(entry.shape) > 6 else "")
            bytes_there = entry.last - entry.first
            raise _unsound(
                name, size, f"{shown}, {entry.dtype} of shape {shape or 'scalar'}, is not {bytes_there:,} bytes"
            )
        at = entry.last
    if at != size:
        raise _unsound(name, size, f"its tensors end at byte {at:,}")


def _bits(entry: Entry) -> int:
    """Return the size of a tensor in bits, by dtype and shape; −1 where no file could hold it."""
    product = 1
    for length in (*entry.shape, _BITS[entry.dtype]):
        product *= length
        if product >= _LIMIT:
            return -1
    return product


def _unsound(name: str, size: int, reason: str) -> CheckpointError:
    return CheckpointError(f"{name}: not a sound safetensors file of {size:,} bytes ({reason}); is it truncated?")


def header_of(entries: dict[str, Entry]) -> bytes:
    """Return the beginning of a file, length and header, that holds these tensors alone, in this order."""
    at, header = 0, {}
    for key, entry in entries.items():
        end = at + entry.last - entry.first
        header[key] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
