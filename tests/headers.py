"""Safetensors files that are none, each in another way."""

from __future__ import annotations

import json
import struct
from typing import Any


def file_of(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def tensor(first: int = 0, last: int = 4, shape: Any = (1,), dtype: Any = "F32", **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last], **more}


DEEP = "[" * 100_000 + "]" * 100_000
REFUSED: dict[str, bytes] = {
    "empty": b"",
    "seven bytes": b"\x02\0\0\0\0\0\0",
    "length alone": struct.pack("<Q", 2),
    "length 0": struct.pack("<Q", 0),
    "length 2^60": struct.pack("<Q", 1 << 60) + b"{}",
    "length 2^64 - 1": b"\xff" * 8 + b"{}",
    "length a byte beyond the file": struct.pack("<Q", 3) + b"{}",
    "not JSON": file_of(b"{]"),
    "JSON and more": file_of(b"{} {}"),
    "zeros behind it": file_of(b"{}\0\0"),
    "not UTF-8": file_of(b'{"\xff": 1}'),
    "UTF-16": file_of("{}".encode("utf-16")),
    "byte order mark": file_of(b"\xef\xbb\xbf{}"),
    "half a surrogate pair": file_of(b'{"\\ud800": ' + json.dumps(tensor()).encode() + b"}", b"1234"),
    "a list": file_of(b"[]"),
    "a text": file_of(b'"text"'),
    "a number": file_of(b"12"),
    "null": file_of(b"null"),
    "deep": file_of(DEEP.encode()),
    "deep within": file_of(f'{{"a": {DEEP}}}'.encode()),
    "a tensor that is null": file_of({"a": None}),
    "a tensor that is a list": file_of({"a": ["F32", [1], [0, 4]]}, b"1234"),
    "no dtype": file_of({"a": {"shape": [1], "data_offsets": [0, 4]}}, b"1234"),
    "no shape": file_of({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, b"1234"),
    "no offsets": file_of({"a": {"dtype": "F32", "shape": [1]}}, b"1234"),
    "more than that": file_of({"a": tensor(stride=[4])}, b"1234"),
    "unknown dtype": file_of({"a": tensor(dtype="F31")}, b"1234"),
    "a list for a dtype": file_of({"a": tensor(dtype=["F32"])}, b"1234"),
    "a text for a shape": file_of({"a": tensor(shape="")}, b"1234"),
    "an object for a shape": file_of({"a": tensor(shape={})}, b"1234"),
    "a truth for a size": file_of({"a": tensor(shape=[True])}, b"1234"),
    "a fraction for a size": file_of({"a": tensor(shape=[1.0])}, b"1234"),
    "a negative size": file_of({"a": tensor(shape=[-1])}, b"1234"),
    "minus nothing": file_of(b'{"a": {"dtype": "F32", "shape": [-0], "data_offsets": [0, 0]}}'),
    "a size of 2^64": file_of({"a": tensor(0, 0, [0, 1 << 64])}),
    "a size of 5,000 digits": file_of({"a": tensor(0, 0, [0, 10**4000])}),
    "sizes whose product overflows": file_of({"a": tensor(0, 0, [1 << 40, 1 << 40, 0])}),
    "a million sizes": file_of({"a": tensor(0, 4, [9] * 1_000_000)}, b"1234"),
    "one offset": file_of({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}, b"1234"),
    "three offsets": file_of({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}, b"1234"),
    "offsets that are a text": file_of({"a": {"dtype": "F32", "shape": [1], "data_offsets": "04"}}, b"1234"),
    "a negative offset": file_of({"a": tensor(-4, 0)}, b"1234"),
    "huge offsets": file_of({"a": tensor(0, 1 << 62, [1 << 60])}, b"1234"),
    "beyond the file": file_of({"a": tensor(0, 8, [2])}, b"1234"),
    "the end before the beginning": file_of({"a": tensor(4, 0)}, b"1234"),
    "a gap in front": file_of({"a": tensor(4, 8)}, b"12345678"),
    "a gap between": file_of({"a": tensor(0, 4), "b": tensor(8, 12)}, b"x" * 12),
    "a gap behind": file_of({"a": tensor(0, 4)}, b"12345678"),
    "overlapping": file_of({"a": tensor(0, 8, [2]), "b": tensor(4, 12, [2])}, b"x" * 12),
    "one in the other": file_of({"a": tensor(0, 8, [2]), "b": tensor(2, 6)}, b"x" * 8),
    "the same bytes twice": file_of({"a": tensor(0, 4), "b": tensor(0, 4)}, b"1234"),
    "nothing inside another": file_of({"a": tensor(0, 4), "b": tensor(2, 2, [0])}, b"1234"),
    "too few bytes for the shape": file_of({"a": tensor(0, 4, [2])}, b"1234"),
    "too many bytes for the shape": file_of({"a": tensor(0, 8, [1])}, b"12345678"),
    "half a byte": file_of({"a": tensor(0, 1, [1], "F4")}, b"1"),
    "a tensor twice": file_of(f'{{"a": {json.dumps(tensor())}, "a": {json.dumps(tensor())}}}'.encode(), b"1234"),
    "a dtype twice": file_of(b'{"a": {"dtype": "F32", "dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', b"1234"),
    "notes that are no texts": file_of({"__metadata__": {"a": 1}}),
    "notes that are a list": file_of({"__metadata__": []}),
    "notes that are false": file_of({"__metadata__": False}),
    "a name a megabyte long": file_of({"\x1b" * 200_000: tensor(4, 8)}, b"12345678"),
    "truncated": file_of({"a": tensor(0, 400, [100])}, bytes(399)),
}
# of these the library says nothing, or takes the last of two
STRICTER = {"more than that", "a tensor that is a list", "a tensor twice"}
