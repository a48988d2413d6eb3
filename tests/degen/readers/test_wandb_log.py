"""The framing of a file of wandb, written here as LevelDB frames its log; `test_loggers` reads files of the library."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from degen.readers.wandb_log import _raw_records, has_wandb_files, is_wandb_file

BLOCK, HEADER = 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def framed(records: Sequence[bytes]) -> bytes:
    """Return a file of records: each in pieces that end with a block, each behind its checksum, length and type."""
    written = bytearray(b":W&B\x00\x00\x00")
    for record in records:
        rest, first = record, True
        while first or rest:
            room = BLOCK - len(written) % BLOCK
            if room < HEADER:
                written += bytes(room)
                room = BLOCK
            piece, rest = rest[: room - HEADER], rest[room - HEADER :]
            kind = (FULL if first else LAST) if not rest else FIRST if first else MIDDLE
            checksum = zlib.crc32(piece, zlib.crc32(bytes([kind])))
            written += struct.pack("<IHB", checksum, len(piece), kind) + piece
            first = False
    return bytes(written)


def read(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return list(_raw_records(file))


@pytest.mark.parametrize("seed", range(4))
def test_records_of_any_size_are_read_whole(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    sizes = [draw.choice((0, 1, 100, 5000, BLOCK - 2 * HEADER, BLOCK - HEADER, BLOCK, 100_000)) for _ in range(40)]
    records = [draw.randbytes(size) for size in sizes]
    (tmp_path / "run.wandb").write_bytes(framed(records))
    assert read(tmp_path / "run.wandb") == records
    assert is_wandb_file(tmp_path / "run.wandb")
    assert has_wandb_files(tmp_path)


def test_a_file_that_is_cut_or_damaged_gives_what_stands_before(tmp_path: Path) -> None:
    records, path = [b"a" * 50, b"b" * 70_000, b"c"], tmp_path / "run.wandb"
    whole = framed(records)
    damaged = bytearray(whole)
    damaged[40_000] ^= 1
    for content, message in (
        (whole[:-3], "a header is cut short"), (whole[:30_000], "cut short or damaged"),
        (bytes(damaged), "cut short or damaged"),
    ):  # fmt: skip
        path.write_bytes(content)
        got = []
        with path.open("rb") as file, pytest.raises(ValueError, match=message):
            got.extend(_raw_records(file))
        assert got == records[: len(got)]
    path.write_bytes(b"other")
    assert not is_wandb_file(path)
