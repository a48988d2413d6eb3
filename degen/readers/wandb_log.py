"""The file that wandb writes while a run goes, `run-ID.wandb`, as offline runs leave it.

Its records are messages of wandb's own protocol (`wandb.proto`), framed as LevelDB frames its log: blocks of 32 KiB,
and in them pieces of records, each behind a header of checksum, length and type.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from degen.errors import DegenError

from .log_rows import open_log
from .open_table import OpenTable
from .reader import Reader
from .records import records_to_table

NEEDS = "files of wandb need an extra: pip install 'degen-lm[wandb]'; or export the history as CSV"
_ENDING = ".wandb"
_MAGIC = b":W&B"
_FILE_HEADER, _BLOCK = 7, 32768
_HEADER = struct.Struct("<IHB")  # checksum, length, type
_FULL, _FIRST, _LAST = 1, 2, 4


def is_wandb_file(path: Path) -> bool:
    """Return whether a file is one of wandb's."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def has_wandb_files(folder: Path) -> bool:
    """Return whether a folder holds files of wandb, at any depth."""
    return bool(_files(folder))


def read_wandb_file(path: Path, warn: Callable[[str], None]) -> OpenTable:
    """Return the history of one run of wandb as a table; see `read_wandb_files`."""
    return _open([path], path)


def read_wandb_files(folder: Path, warn: Callable[[str], None]) -> OpenTable:
    """Return the histories of all runs of wandb in a folder as a table, a row for each call of `wandb.log`.

    Args:
        folder: the folder, as `wandb/` or `wandb/offline-run-…`.
        warn: not called.

    Raises:
        DegenError: package `wandb` is not installed, or no file has a history.
    """
    return _open(_files(folder), folder)


def _files(folder: Path) -> list[Path]:
    files = (file for file in folder.rglob(f"*{_ENDING}") if file.is_file() and not file.parent.is_symlink())
    return sorted(file for file in files if is_wandb_file(file))


def _open(files: list[Path], path: Path) -> OpenTable:
    rows: list[dict[str, Any]] = []
    damaged: list[str] = []
    for file in files:
        name, history, whole = _read_run(file)
        rows += [{"model": name or file.stem, **row} for row in history]
        damaged += [] if whole else [f"the end of {file.name}, which is damaged or still being written"]
    if not rows:
        raise DegenError(f"{path}: these runs of wandb logged nothing; name a run with a history")
    table, lists = records_to_table(rows)
    return open_log(table, path, "wandb runs" if len(files) > 1 else "wandb run", [*damaged, *lists])


def _read_run(file: Path) -> tuple[str, list[dict[str, Any]], bool]:
    """Return the name of a run, its history, and whether the file could be read to its end."""
    try:
        from google.protobuf.message import DecodeError
        from wandb.proto import wandb_internal_pb2
    except ImportError as error:
        raise DegenError(f"{file}: {NEEDS}") from error
    name, history = "", []
    try:
        with file.open("rb") as opened:
            for raw in _raw_records(opened):
                record = wandb_internal_pb2.Record.FromString(raw)
                kind = record.WhichOneof("record_type")
                if kind == "run":
                    name = record.run.display_name or record.run.run_id
                elif kind == "history":
                    history.append({_key(item): json.loads(item.value_json) for item in record.history.item})
    except (ValueError, DecodeError):
        return name, history, False
    return name, history, True


def _key(item: Any) -> str:
    return "/".join(item.nested_key) or str(item.key)


def _raw_records(file: BinaryIO) -> Iterator[bytes]:
    """Yield the records of a file.

    Raises:
        ValueError: a record is cut short, or does not have its checksum.
    """
    offset, pieces = _FILE_HEADER, b""
    file.seek(offset)
    while True:
        rest = _BLOCK - offset % _BLOCK
        if rest < _HEADER.size:  # the end of a block is filled up
            offset += len(file.read(rest))
        header = file.read(_HEADER.size)
        if not header:
            return
        if len(header) < _HEADER.size:
            raise ValueError("a header is cut short")
        checksum, length, kind = _HEADER.unpack(header)
        piece = file.read(length)
        if zlib.crc32(piece, zlib.crc32(bytes([kind]))) != checksum:
            raise ValueError("a record is cut short or damaged")
        offset += _HEADER.size + length
        pieces = piece if kind in (_FULL, _FIRST) else pieces + piece
        if kind in (_FULL, _LAST):
            yield pieces


FILE = Reader("runs of wandb", is_wandb_file, read_wandb_file)
FOLDER = Reader("runs of wandb", has_wandb_files, read_wandb_files)
