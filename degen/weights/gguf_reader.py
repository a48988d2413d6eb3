"""The metadata of a GGUF file read in a second where a vocabulary is large, and the package takes twenty."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@cache
def reader_class() -> Any:
    """Return a `gguf.GGUFReader` that makes the same fields, with arrays of strings and numbers read in one go.

    The package calls itself for every entry of an array, on a mapped file whose every slice is an object of its own.

    Raises:
        ImportError: the package gguf is not installed.
    """
    import gguf
    import numpy as np

    class QuickReader(gguf.GGUFReader):  # type: ignore[misc]  # the package has types only where it is installed
        """Reads arrays from the file's bytes as they lie in memory."""

        def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
            if gguf.GGUFValueType(raw_type) != gguf.GGUFValueType.ARRAY or self.byte_order != "I":
                return super()._get_field_parts(orig_offs, raw_type)
            kind, count = self._get(orig_offs, np.uint32), self._get(orig_offs + 4, np.uint64)
            entry, length, first = gguf.GGUFValueType(int(kind[0])), int(count[0]), orig_offs + 12
            if entry == gguf.GGUFValueType.STRING:
                parts, last = _strings(self.data.view(np.ndarray), first, length)
                indices = range(3, 2 + len(parts), 2)
            elif (dtype := self.gguf_scalar_to_np.get(entry)) is not None:
                values = np.asarray(self._get(first, dtype, length))
                if len(values) < length:
                    raise IndexError(f"an array of {length} entries ends after {len(values)}")
                parts, last = list(values.reshape(-1, 1)), first + values.nbytes
                indices = range(2, 2 + length)
            else:
                return super()._get_field_parts(orig_offs, raw_type)
            types = [gguf.GGUFValueType.ARRAY, *([entry] if length else [])]
            return last - orig_offs, [kind, count, *parts], list(indices), types

    return QuickReader


def _strings(data: Any, first: int, count: int) -> tuple[list[Any], int]:
    """Return the length and the bytes of every string in turn, as arrays, and the offset at which they end.

    Args:
        data: the bytes of the file.
        first: offset of the first string.
        count: how many strings.

    Raises:
        IndexError: the file ends before they do.
    """
    import numpy as np

    parts: list[Any] = []
    read = struct.Struct("=Q").unpack_from
    buffer, offset = memoryview(data), first
    for _ in range(count):
        if offset + 8 > len(data):
            raise IndexError("the file ends within its metadata")
        (length,) = read(buffer, offset)
        if offset + 8 + length > len(data):
            raise IndexError("the file ends within its metadata")
        parts += [data[offset : offset + 8].view(np.uint64), data[offset + 8 : offset + 8 + length]]
        offset += 8 + length
    return parts, offset


@contextmanager
def quick_reader() -> Iterator[None]:
    """Let transformers, which imports the reader when it needs one, take this one until the end of the block.

    Another thread that takes it or the package's own meanwhile gets the same from either.
    """
    try:
        import gguf

        quick = reader_class()
    except ImportError:  # transformers says so itself
        yield
        return
    gguf.GGUFReader = quick
    try:
        yield
    finally:
        gguf.GGUFReader = quick.__base__
