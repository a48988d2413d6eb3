"""Headers of safetensors files: what the format's own library reads is read, and nothing else, and at no price."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from headers import REFUSED, STRICTER, file_of, tensor
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from degen.errors import CheckpointError
from degen.weights.safetensors_header import _BITS, FIRST_READ, Entry, header_of, read_header

Read = dict[str, tuple[str, tuple[int, ...], bytes]]


def ours(data: bytes) -> Read | None:
    """Return the tensors that degen reads from a file; None where it is refused."""
    try:
        entries = read_header("file", len(data), lambda first, last: data[first:last])
    except CheckpointError as error:
        message = str(error)
    else:
        return {key: (e.dtype, e.shape, data[e.first : e.last]) for key, e in entries.items()}
    assert len(message) < 1500
    assert message.isprintable()
    return None


def theirs(data: bytes) -> Read | None:
    """Return the tensors that the library reads from it."""
    try:
        return {key: (t["dtype"], tuple(t["shape"]), bytes(t["data"])) for key, t in deserialize(data)}
    except SafetensorError:
        return None


@pytest.mark.parametrize("kind", REFUSED)
def test_damaged_headers_are_refused_as_the_library_refuses_them(kind: str) -> None:
    assert ours(REFUSED[kind]) is None
    assert (theirs(REFUSED[kind]) is None) == (kind not in STRICTER)


@pytest.mark.parametrize(
    "data",
    [
        file_of({}),
        file_of(b"  {}  \n\t"),
        file_of({"__metadata__": None}),
        file_of({"__metadata__": {"format": "pt"}, "a": tensor(shape=[])}, b"1234"),
        file_of({"": tensor()}, b"1234"),
        file_of({"a": tensor(0, 0, [0, (1 << 64) - 1])}),
        file_of({"b": tensor(0, 4), "a": tensor(4, 8), "c": tensor(4, 4, [0]), "d": tensor(0, 0, [0])}, b"12345678"),
        file_of({"x" * (FIRST_READ - 70): tensor()}, b"1234"),
        file_of({"x" * FIRST_READ: tensor()}, b"1234"),
        file_of({f"layer.{i}": tensor(4 * i, 4 * i + 4) for i in range(3000)}, bytes(12_000)),
    ],
)
def test_sound_headers_are_read_as_the_library_reads_them(data: bytes) -> None:
    assert ours(data) == theirs(data) is not None


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Return sound files: any dtype, shape and order of names."""
    header, body = {}, b""
    for key in draw(st.lists(st.text(st.characters(exclude_categories=["Cs"])), unique=True, max_size=5)):
        if key == "__metadata__":
            continue
        dtype, shape = draw(st.sampled_from(sorted(_BITS))), draw(st.lists(st.integers(0, 4), max_size=3))
        bits = math.prod(shape) * _BITS[dtype]
        shape, bits = ([8], 8 * _BITS[dtype]) if bits % 8 else (shape, bits)
        header[key] = tensor(len(body), len(body) + bits // 8, shape, dtype)
        body += draw(st.binary(min_size=bits // 8, max_size=bits // 8))
    order = draw(st.permutations(list(header)))
    text = json.dumps({key: header[key] for key in order}, ensure_ascii=draw(st.booleans()))
    return file_of(text.encode() + b" " * draw(st.integers(0, 9)), body)


@given(files())
def test_every_sound_file_is_read_as_the_library_reads_it(data: bytes) -> None:
    assert ours(data) == theirs(data) is not None


@given(files(), st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), min_size=1, max_size=3))
def test_a_damaged_file_is_read_as_the_library_reads_it_or_refused(
    data: bytes, wounds: list[tuple[int, bytes]]
) -> None:
    for at, put in wounds:
        data = data[: at % len(data)] + put + data[at % len(data) + len(put) :]
    assert ours(data) in (None, theirs(data))


@given(st.binary(max_size=200), st.booleans())
@example(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,0]}}', True)
def test_random_bytes_are_read_as_the_library_reads_them_or_refused(data: bytes, framed: bool) -> None:
    data = file_of(data) if framed else data
    assert ours(data) in (None, theirs(data))


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(sorted(_BITS)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@given(
    st.dictionaries(
        st.text(max_size=3) | st.just("__metadata__"),
        ANY | st.fixed_dictionaries({"dtype": ANY, "shape": ANY, "data_offsets": ANY})
        | st.fixed_dictionaries({
            "dtype": st.sampled_from(sorted(_BITS)),
            "shape": st.lists(st.integers(-1, 4) | st.integers(), max_size=3),
            "data_offsets": st.lists(st.integers(-1, 8), min_size=1, max_size=3),
        }),
        max_size=3,
    ),
    st.binary(max_size=16),
)  # fmt: skip
def test_any_json_is_read_as_the_library_reads_it_or_refused(header: dict[str, Any], body: bytes) -> None:
    data = file_of(json.dumps(header).encode(), body)
    assert ours(data) in (None, theirs(data))


@given(files())
def test_a_header_written_from_entries_is_read_back(data: bytes) -> None:
    entries = read_header("file", len(data), lambda first, last: data[first:last])
    written = header_of(entries)
    body = b"".join(data[e.first : e.last] for e in entries.values())
    assert len(written) % 8 == 0
    assert ours(written + body) == ours(data)


def test_a_long_header_is_read_in_two_requests() -> None:
    ranges: list[tuple[int, int]] = []
    data = file_of({f"layer.{i}": tensor(4 * i, 4 * i + 4) for i in range(3000)}, bytes(12_000))
    length = len(data) - 8 - 12_000

    def read(first: int, last: int) -> bytes:
        ranges.append((first, last))
        return data[first:last]

    assert read_header("file", len(data), read)["layer.7"] == Entry("F32", (1,), 8 + length + 28, 8 + length + 32)
    assert ranges == [(0, FIRST_READ), (FIRST_READ, 8 + length)]


LIAR = """
import resource, sys
from pathlib import Path
from degen.errors import CheckpointError
from degen.weights.safetensors_header import read_header
resource.setrlimit(resource.RLIMIT_AS, (400_000_000, 400_000_000))
with Path(sys.argv[1]).open("rb") as file:
    def read(first, last):
        file.seek(first)
        return file.read(last - first)
    try:
        read_header("liar", Path(sys.argv[1]).stat().st_size, read)
    except CheckpointError as error:
        print(error)
"""


@pytest.mark.parametrize("length", [1 << 60, 1 << 40, 4_000_000_000, 100_000_001])
def test_a_header_that_claims_to_be_long_takes_no_memory(tmp_path: Path, length: int) -> None:
    file = tmp_path / "model.safetensors"
    with file.open("wb") as opened:
        opened.write(struct.pack("<Q", length))
        opened.truncate(5_000_000_000)  # of nothing on disk
    done = subprocess.run([sys.executable, "-c", LIAR, str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"its header would be {length:,} bytes long" in done.stdout
