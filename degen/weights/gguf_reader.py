"""The metadata of a GGUF file read in a second where a vocabulary is large, and the package takes twenty.

Values are dequantized by the package, with more rows at a time.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any

LONG = 10_000  # entries of an array: more than the layers of any model, to which configurations give one each
JOINED = 16  # rows that are dequantized as one: the package takes 16 at a time, which are few values to a call of NumPy

_whole = ContextVar("_whole", default=True)  # whether long arrays are read


@cache
def reader_class() -> Any:
    """Return a `gguf.GGUFReader` that makes the same fields, with arrays of strings and numbers read in one go.

    The package calls itself for every entry of an array, on a mapped file whose every slice is an object of its own.
    Within `without_vocabulary` long arrays are counted and not read.

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
            whole = _whole.get() or length <= LONG
            if entry == gguf.GGUFValueType.STRING:
                parts, last = _strings(self.data.view(np.ndarray), first, length, whole)
                indices = list(range(3, 2 + len(parts), 2)) if whole else [2] * length
            elif (dtype := self.gguf_scalar_to_np.get(entry)) is not None:
                values = np.asarray(self._get(first, dtype, length))
                if len(values) < length:
                    raise IndexError(f"an array of {length} entries ends after {len(values)}")
                read = length if whole else 1
                parts, last = list(values[:read].reshape(-1, 1)), first + values.nbytes
                indices = list(range(2, 2 + read))
            else:
                return super()._get_field_parts(orig_offs, raw_type)
            types = [gguf.GGUFValueType.ARRAY, *([entry] if length else [])]
            return last - orig_offs, [kind, count, *parts], indices, types

    return QuickReader


def _strings(data: Any, first: int, count: int, whole: bool) -> tuple[list[Any], int]:
    """Return the length and the bytes of every string in turn, as arrays, and the offset at which they end.

    Args:
        data: the bytes of the file.
        first: offset of the first string.
        count: how many strings.
        whole: whether they are returned; an empty one, without a length, is if not.

    Raises:
        IndexError: the file ends before they do.
    """
    import numpy as np

    parts: list[Any] = [] if whole else [data[:0]]
    read = struct.Struct("=Q").unpack_from
    buffer, offset = memoryview(data), first
    for _ in range(count):
        if offset + 8 > len(data):
            raise IndexError("the file ends within its metadata")
        (length,) = read(buffer, offset)
        if offset + 8 + length > len(data):
            raise IndexError("the file ends within its metadata")
        if whole:
            parts += [data[offset : offset + 8].view(np.uint64), data[offset + 8 : offset + 8 + length]]
        offset += 8 + length
    return parts, offset


@cache
def dequantizer() -> Callable[[Any, Any], Any]:
    """Return a function that does what `gguf.dequantize` does, with the same values, in a third to half of the time.

    Blocks of quantized values know nothing of rows, so that neighbouring rows may be joined before.

    Raises:
        ImportError: the package gguf is not installed.
    """
    import gguf
    import numpy as np

    dequantize = gguf.quants.dequantize  # `quick_reader` replaces gguf.dequantize
    plain = (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16)

    def quick(data: Any, kind: Any) -> Any:
        rows = data.reshape(-1, data.shape[-1])
        whole = len(rows) // JOINED * JOINED
        if kind in plain or not whole:
            return dequantize(data, kind)
        values = dequantize(rows[:whole].reshape(whole // JOINED, -1), kind).reshape(whole, -1)
        if whole < len(rows):
            values = np.concatenate([values, dequantize(rows[whole:], kind)])
        return values.reshape(*data.shape[:-1], -1)

    return quick


@contextmanager
def without_vocabulary() -> Iterator[None]:
    """Let this thread's readers leave out the entries of long arrays until the block ends.

    Of more than `LONG` strings there are as many empty ones, and of more numbers the first: of its vocabulary a model
    needs the size.
    """
    before = _whole.set(False)
    try:
        yield
    finally:
        _whole.reset(before)


@contextmanager
def quick_reader() -> Iterator[None]:
    """Let transformers, which imports reader and functions when it needs them, take these until the block ends.

    It makes the same table of names for each module of a model, hundreds of times. Another thread that takes one of
    them or the package's own meanwhile gets the same from either.
    """
    try:
        import gguf

        ours = {"GGUFReader": reader_class(), "dequantize": dequantizer(), "get_tensor_name_map": _name_maps()}
    except ImportError:  # transformers says so itself
        yield
        return
    own = {"GGUFReader": reader_class().__base__, "dequantize": gguf.quants.dequantize}
    own["get_tensor_name_map"] = gguf.tensor_mapping.get_tensor_name_map
    try:
        vars(gguf).update(ours)
        yield
    finally:
        vars(gguf).update(own)


@cache
def _name_maps() -> Callable[[Any, int], Any]:
    """Return `gguf.get_tensor_name_map`, which makes the same table once."""
    import gguf

    made: Callable[[Any, int], Any] = lru_cache(maxsize=2)(gguf.tensor_mapping.get_tensor_name_map)
    return made
