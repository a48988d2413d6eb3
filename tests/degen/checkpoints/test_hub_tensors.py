"""Tensors read by byte ranges: those that the library reads of the file, in as few requests as there may be."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from headers import file_of, tensor
from safetensors import safe_open
from safetensors.torch import load_file, save

from degen.checkpoints.hub_tensors import PIECE, HubTensors
from degen.errors import CheckpointError
from degen.weights.open_weights import WeightLayout
from degen.weights.safetensors_header import _BITS

MANY = {
    "a": torch.arange(60, dtype=torch.float32).reshape(5, 4, 3), "b": torch.randn(7, 2).half(), "c": torch.tensor(3.0),
    "d": torch.zeros(0, 4), "e": torch.randn(6, 5).bfloat16(), "f": torch.arange(9),
}  # fmt: skip


class RecordedFile:
    """Files, and which bytes of them were asked for."""

    def __init__(self, **files: bytes) -> None:
        self.files = files
        self.asked: list[tuple[str, int, int]] = []

    def read(self, shard: str, first: int, last: int) -> bytes:
        self.asked.append((shard, first, last))
        return self.files[shard][first:last]

    def tensors(self, **shard_of: str) -> HubTensors:
        layout = WeightLayout("safetensors", tuple(self.files), "index" if shard_of else None, shard_of)
        return HubTensors("org/m@main", layout, {name: len(data) for name, data in self.files.items()}, self.read)


def test_tensors_read_by_byte_ranges_are_those_the_library_reads(tmp_path: Path) -> None:
    line = RecordedFile(whole=save(MANY))
    tensors = line.tensors()
    assert tensors.keys == MANY.keys()
    assert tensors.size(None) == len(line.files["whole"])
    for key, value in MANY.items():
        assert (tensors.shape(key), tensors.shard(key)) == (tuple(value.shape), "whole")
        assert tensors.size(key) == value.nbytes
        raw = value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        assert b"".join(bytes(piece) for piece in tensors.raw(key)) == raw
        assert tensors.sha256(key) == hashlib.sha256(raw).hexdigest()
        tensors.save([key], tmp_path / key)
        assert torch.equal(load_file(tmp_path / key)[key], value)
        for first, last in ((0, 2), (1, 1), (3, 5)) if value.dim() else ():
            first, last = min(first, len(value)), min(last, len(value))
            assert torch.equal(tensors.rows(key, first, last), value[first:last])
    assert line.asked.count(("whole", 0, len(line.files["whole"]))) == 1  # the header once


@pytest.mark.parametrize("dtype", sorted(_BITS))
def test_rows_of_every_dtype_of_torch_are_read(tmp_path: Path, dtype: str) -> None:
    size = 64 * _BITS[dtype] // 8
    file = file_of({"a": tensor(0, size, [16, 4], dtype)}, bytes(range(1, 1 + size)) if size < 255 else bytes(size))
    (tmp_path / "file").write_bytes(file)
    try:
        with safe_open(tmp_path / "file", framework="pt") as opened:
            expected = opened.get_tensor("a")[3:7]
        rows = RecordedFile(whole=file).tensors().rows("a", 3, 7)
    except CheckpointError as error:
        assert f"org/m@main: the tensor a has a type that cannot be read, {dtype}" in str(error)  # noqa: PT017 - newer dtypes, in older libraries
    except Exception:
        with pytest.raises(CheckpointError, match="cannot be read"):
            RecordedFile(whole=file).tensors().rows("a", 3, 7)
    else:
        assert rows.dtype == expected.dtype
        assert torch.equal(rows.view(torch.uint8), expected.contiguous().view(torch.uint8))


def test_adjacent_tensors_are_prefetched_by_one_request() -> None:
    line = RecordedFile(whole=save(MANY))
    tensors = line.tensors()
    tensors.prefetch_rows({"a": 5, "b": 2, "e": 6, "f": 9})
    held = line.asked[1:]
    for key, rows in {"a": 5, "b": 2, "e": 6, "f": 9}.items():
        assert torch.equal(tensors.rows(key, 0, rows), MANY[key][:rows])
    assert line.asked[1:] == held
    assert len(held) <= 3
    assert torch.equal(tensors.rows("b", 3, 7), MANY["b"][3:])  # which was not held
    assert len(line.asked) == len(held) + 2


def test_large_tensors_are_read_in_pieces() -> None:
    large = torch.zeros(PIECE // 2 + 100, dtype=torch.float32)
    line = RecordedFile(whole=save({"large": large}))
    assert sum(len(piece) for piece in line.tensors().raw("large")) == large.nbytes
    assert [last - first for _, first, last in line.asked[1:]] == [PIECE, PIECE, 400]


def test_only_the_shards_of_needed_tensors_are_read() -> None:
    line = RecordedFile(one=save({"a": MANY["a"]}), two=save({"b": MANY["b"]}), three=b"damaged")
    tensors = line.tensors(a="one", b="two", c="three", d="two")
    assert tensors.keys == set("abcd")
    assert torch.equal(tensors.rows("b", 0, 7), MANY["b"])
    assert {shard for shard, _, _ in line.asked} == {"two"}
    with pytest.raises(CheckpointError, match="org/m@main: three: not a sound safetensors file"):
        tensors.shape("c")
    with pytest.raises(CheckpointError, match="the index says that the file two holds the tensor d, but it does not"):
        tensors.rows("d", 0, 1)
