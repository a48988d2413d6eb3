"""Parts of a run that grows: each is read once, and again only where its file is another one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .parts import damaged, read_part_and_schema

if TYPE_CHECKING:
    import pyarrow as pa


class _FileState(NamedTuple):
    """What changes when a part is written anew, for that makes a new file under the same name."""

    inode: int
    size: int
    modified: int


class PartCache:
    """What was read of the parts of a run, for whoever reads it again and again while it grows."""

    def __init__(self) -> None:
        self._parts: dict[tuple[Path, tuple[str, ...] | None], tuple[_FileState, pa.Table, pa.Schema]] = {}
        self._schemas: list[pa.Schema] = []

    def read(self, file: Path, columns: Sequence[str] | None = None) -> tuple[pa.Table, pa.Schema]:
        """Return a part and its schema as `read_part_and_schema` does, from memory where the file is the same.

        Raises:
            DegenError: it is damaged.
        """
        key = (file, None if columns is None else tuple(columns))
        state = _state_of(file)
        if key not in self._parts or self._parts[key][0] != state:
            part, schema = read_part_and_schema(file, columns)
            self._parts[key] = (
                state,
                part.from_arrays(part.columns, schema=self._share(part.schema)),
                self._share(schema),
            )
        return self._parts[key][1:]

    def _share(self, schema: pa.Schema) -> pa.Schema:
        """Return the one object for all schemas with these columns; most of what a small part takes is its schema."""
        for known in self._schemas:
            if known.equals(schema):
                return known
        self._schemas.append(schema)
        return schema


def _state_of(file: Path) -> _FileState:
    try:
        found = file.stat()
    except OSError as error:
        raise damaged(file, error) from error
    return _FileState(found.st_ino, found.st_size, found.st_mtime_ns)
