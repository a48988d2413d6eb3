"""Limits by what a file holds: a small one that would become a huge one is refused, in time and in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import DegenError

MAX_RATIO = 500  # of bytes made to bytes read; text is compressed to a tenth, or to a fiftieth
FREE = 1 << 24  # bytes that are made without a question
MAX_LINE = 1 << 26  # bytes of one line, that is of one document


def check_regular(path: Path) -> None:
    """Refuse what would be waited for, or has no end: a pipe, a socket, a device.

    Raises:
        DegenError: it is one of these.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DegenError(f"{path}: is a pipe or a device; write it into a file, and name that")


def check_expansion(path: object, read: int, made: int) -> None:
    """Refuse a compressed file that becomes many times its size.

    Args:
        path: the file.
        read: bytes of it, compressed.
        made: bytes that they become.

    Raises:
        DegenError: it does.
    """
    if made > FREE and made > MAX_RATIO * max(read, 1):
        raise DegenError(f"{path}: becomes more than {MAX_RATIO} times its size; unpack it, if you trust it")


def check_parquet(path: object, metadata: Any, size: int | None) -> None:
    """Refuse a Parquet file with more rows, or larger columns, than its size can hold.

    Args:
        path: the file.
        metadata: of Arrow.
        size: of the file in bytes; None where it is not known.

    Raises:
        DegenError: it is such a file.
    """
    if size is None:
        return
    if metadata.num_rows > 1_000_000 and metadata.num_rows > 64 * size:
        raise DegenError(f"{path}: {metadata.num_rows:,} rows in {size:,} bytes, which are no rows of a table")
    for i in range(metadata.num_row_groups):
        check_expansion(path, size, metadata.row_group(i).total_byte_size)
