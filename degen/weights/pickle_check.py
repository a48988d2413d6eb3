"""Pickles of strangers, looked through before they are read: what they would call, and how much memory they would take.

Neither torch's reader of weights alone nor an unpickler of few classes runs a stranger's code. Both can be made to fill
memory or to exhaust the stack by a file of a few bytes: `bytearray(10**12)`, the 10⁹th place of the memo, tuples a
million deep that are hashed.

Source: https://docs.python.org/3/library/pickletools.html
"""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

MAX_PICKLE = 1 << 26  # bytes of a pickle; its tensors lie beside it
MAX_DEPTH = 100  # of values within values

_PUT = ("PUT", "BINPUT", "LONG_BINPUT")
_GET = ("GET", "BINGET", "LONG_BINGET")
_CONTAINER = ("SETITEM", "SETITEMS", "APPEND", "APPENDS", "ADDITEMS", "BUILD")


def check_pickle(data: bytes) -> None:
    """Refuse a pickle that would take more memory or stack than its size explains.

    Args:
        data: the pickle.

    Raises:
        ValueError: it is such a pickle, or none; a damaged one raises errors of other classes, too.
    """
    if len(data) > MAX_PICKLE:
        raise ValueError(f"its pickle has {len(data):,} bytes, and {MAX_PICKLE:,} are allowed")
    _Depths(len(data)).follow(data)


class _Depths:
    """How deep the values on the stack of an unpickler are, followed without making any of them."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._stack: list[int | None] = []  # None: a mark
        self._memo: dict[int, int] = {}

    def follow(self, data: bytes) -> None:
        """Go through a pickle.

        Raises:
            ValueError: it is too deep, or would take too much memory.
        """
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in ("GLOBAL", "INST"):
                _check_global(str(argument))
            if opcode.name in _PUT or opcode.name == "MEMOIZE":
                self._put(len(self._memo) if argument is None else argument)
            elif opcode.name in _GET:
                self._stack.append(self._memo.get(int(argument or 0), 0))
            else:
                self._step(opcode)

    def _put(self, index: int) -> None:
        if not 0 <= index <= self._length:
            raise ValueError(f"it names place {index:,} of a memo, and has {self._length:,} bytes")
        self._memo[index] = self._stack[-1] or 0

    def _step(self, opcode: Any) -> None:
        taken: list[int] = []
        before, after = opcode.stack_before, opcode.stack_after
        count = len(before)
        if pickletools.markobject in before:
            while (depth := self._stack.pop()) is not None:
                taken.append(depth)
            count = before.index(pickletools.markobject)
        for _ in range(count):
            taken.append(self._stack.pop() or 0)
        if pickletools.markobject in after:
            self._stack.append(None)
            return
        if opcode.name in _CONTAINER:
            *inner, own = taken
            depth = max(own, 1 + max(inner, default=0))
        else:
            depth = 1 + max(taken) if taken else 0
        if depth > MAX_DEPTH:
            raise ValueError(f"its values are more than {MAX_DEPTH} deep")
        self._stack += [depth] * len(after)


def _check_global(name: str) -> None:
    """Refuse what torch would call with a number of bytes or of values to make room for."""
    module, _, attribute = name.partition(" ")
    if attribute == "bytearray" or (module.split(".")[0] == "torch" and attribute.endswith("Tensor")):
        raise ValueError(f"it makes a {name.replace(' ', '.')}, which weights alone do not need")


def check_torch_zip(file: Path | BinaryIO) -> None:
    """Refuse a zip of torch that holds more than its size explains, before torch reads it.

    Args:
        file: the zip, or its content.

    Raises:
        ValueError: a part is compressed, which torch never writes, or its pickle is refused by `check_pickle`; a
            damaged zip raises errors of other classes, too.
    """
    with zipfile.ZipFile(file) as opened:
        parts = opened.infolist()
        for part in parts:
            if part.compress_type != zipfile.ZIP_STORED or part.file_size != part.compress_size:
                raise ValueError(f"{part.filename[:80]!r} in it is compressed, which torch never does")
        for part in parts:
            if part.filename.endswith(".pkl"):
                if part.file_size > MAX_PICKLE:
                    raise ValueError(f"its pickle has {part.file_size:,} bytes, and {MAX_PICKLE:,} are allowed")
                check_pickle(opened.read(part))
