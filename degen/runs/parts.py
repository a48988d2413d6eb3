"""The parts of a run's tables: whether degen wrote a file, and what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from degen.errors import DegenError, one_line
from degen.tables import ENGINE_TABLES, KEYS

if TYPE_CHECKING:
    import pyarrow as pa

_TYPES = {column.name: column.type for columns in (KEYS, *ENGINE_TABLES.values()) for column in columns}
_TYPES |= {"loss": "float64", "tokens": "int64"}  # of the probe `loss`, on which curves and gates rest
_KEYS = ("model", "revision", "layer", "site", "window", "document", "tokens")

Owner = Literal["degen", "unknown", "other"]
_NOTE = b"degen.schema_version"  # in the metadata of every Parquet file of a run


def owner_of(file: Path) -> Owner:
    """Return who wrote a Parquet file, by its metadata; `unknown` where it is none that can be read."""
    notes = read_notes(file)
    if notes is None:
        return "unknown"
    return "degen" if _NOTE in notes else "other"


def read_notes(file: Path) -> dict[bytes, bytes] | None:
    """Return the metadata of a Parquet file; None where it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not file.is_file():  # a pipe would be waited for
        return None
    try:
        return dict(pq.read_schema(file).metadata or {})
    except (OSError, ValueError, pa.ArrowException):
        return None


def part_files(folder: Path) -> list[Path]:
    """Return the Parquet files of a table, sorted by name, without those that begin with a dot."""
    return sorted(file for file in folder.rglob("[!.]*.parquet") if file.is_file())


def read_part(file: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one part of a table, with the checksums of its pages verified.

    Args:
        file: the part.
        columns: names of the columns to read, those that it lacks left out; None for all.

    Raises:
        DegenError: it is damaged.
    """
    return read_part_and_schema(file, columns)[0]


def read_part_and_schema(file: Path, columns: Sequence[str] | None = None) -> tuple[pa.Table, pa.Schema]:
    """Read one part of a table as `read_part` does, and return with it the schema of all its columns.

    Raises:
        DegenError: it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=False) as part:
            schema = part.schema_arrow
            names = None if columns is None else [c for c in columns if c in schema.names]
            return part.read(names, use_threads=False), schema
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(file, error) from error


def read_schema(file: Path) -> pa.Schema:
    """Return the columns of one part of a table, with their metadata.

    Raises:
        DegenError: it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(file)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(file, error) from error


def check_columns(file: Path, part: pa.Table, needed: Sequence[str]) -> None:
    """Refuse a part that lacks a column, has one of another type than the engine writes, or a row without its keys.

    Args:
        file: the part, for the error.
        part: what was read of it.
        needed: names of the columns that it must have.

    Raises:
        DegenError: it is such a part.
    """
    check_schema(file, part.schema, needed)
    check_keys(file, part)


def check_schema(file: Path, schema: pa.Schema, needed: Sequence[str]) -> None:
    """Refuse a part that lacks a column, or has one of another type than the engine writes; see `check_columns`."""
    import pyarrow as pa

    for name in needed:
        if schema.get_field_index(name) < 0:
            raise damaged(file, ValueError(f"it has no column {name}"))
    for name, stored in zip(schema.names, schema.types, strict=True):
        if (kind := _TYPES.get(name)) is None:
            continue
        if stored == pa.large_string():  # polars writes strings as such
            stored = pa.string()
        if stored != pa.type_for_alias(kind):
            raise damaged(file, ValueError(f"its column {name} holds no {kind}"))


def check_keys(file: Path, part: pa.Table) -> None:
    """Refuse a part that has a row without its keys; see `check_columns`."""
    names = part.column_names  # which makes a list of them each time
    may_lack = {"layer", "site"} if "domain" in names else set()  # a row of a domain may be of the whole model
    if "site" not in names:
        may_lack.add("layer")  # of weights that are in no block
    for name in _KEYS:
        if name in names and name not in may_lack and part.column(names.index(name)).null_count:
            raise damaged(file, ValueError(f"it has rows without {name}"))


def damaged(file: Path, error: Exception) -> DegenError:
    """Return the error for a part that cannot be read."""
    return DegenError(
        f"{file}: cannot be read ({one_line(error, 120)}); the `degen scan` that made the run, given again, measures "
        "this checkpoint anew"
    )
