"""Read tables that other programs wrote: CSV, Parquet, or a folder of Parquet parts."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.bounds import check_expansion, check_parquet, check_regular
from degen.errors import DegenError
from degen.paths import expand_user

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
FORMATS = (*SEPARATORS, ".parquet")
_ENDINGS = (*FORMATS, ".json", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")  # of tables and of logs
_INDEX = ("__index_level_0__", "Unnamed: 0")  # names that pandas gives to row numbers


def read_table_file(path: Path) -> pa.Table:
    """Return the table in a file `.csv`, `.tsv` (either with `.gz`) or `.parquet`, or in a folder of Parquet parts.

    Columns of a CSV get the type that all their rows allow; empty cells, `NA` and the like are missing where the column
    is one of numbers, and so is `nan` in a column of whole numbers; among fractions it is NaN. Parts are read in the
    order of their names; folders called `key=value` become columns of text. Columns of lists and records are left out.

    Args:
        path: the file or folder.

    Returns:
        The table, which has at least one row and no two columns of one name.

    Raises:
        DegenError: the path does not exist, cannot be read or has an unknown ending; the file is damaged or empty; or
            the table has no row or two columns of one name.
    """
    path = expand_user(path)
    try:
        table = _parts(path) if path.is_dir() else _file(path)
    except OSError as error:
        raise DegenError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error
    if not table.num_rows:
        raise DegenError(f"{path}: the table has columns but no rows; name a table that has rows")
    return table


def has_parts(folder: Path) -> bool:
    """Return whether a folder holds Parquet parts, at any depth."""
    return bool(_part_files(folder))


def stem(path: Path) -> str:
    """Return the name of a table's file or folder without its ending."""
    name = path.name if path.name not in ("", "..") else path.resolve().name
    ending = _ending(path, _ENDINGS)
    return name[: -len(ending)] or name if ending and not path.is_dir() else name


def _ending(path: Path, endings: Sequence[str] = FORMATS) -> str | None:
    return next((e for e in sorted(endings, key=len, reverse=True) if path.name.lower().endswith(e)), None)


def _file(path: Path) -> pa.Table:
    if not path.exists():
        raise DegenError(f"{path}: no such file or folder; name a table ({', '.join(FORMATS)})")
    check_regular(path)
    ending = _ending(path)
    if ending is None:
        raise DegenError(f"{path}: not a format of tables; save the table as one of {', '.join(FORMATS)}")
    if not path.stat().st_size:
        raise DegenError(f"{path}: the file is empty; save the table again")
    table = _parquet(path) if ending == ".parquet" else _csv(path, SEPARATORS[ending])
    return _named(table, path)


def _csv(path: Path, separator: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.csv as csv

    raw = read_text(path)
    header = raw.partition("\n")[0]
    if other := next((s for s in (";", "\t", ",") if s != separator and s in header and separator not in header), None):
        raise DegenError(
            f"{path}: the names in the header must be separated by {separator!r}, and are by {other!r}; "
            "save the table with commas (.csv) or tabs (.tsv)"
        )
    data = raw.encode()
    missing = [*csv.ConvertOptions().null_values, "None"]

    def read(**options: Any) -> pa.Table:
        return csv.read_csv(
            pa.BufferReader(data),
            # One block: types come from all the rows, not from the first megabyte. One thread: errors name the row.
            read_options=csv.ReadOptions(block_size=min(len(data) + 1, 2**31 - 1), use_threads=False),
            parse_options=csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=csv.ConvertOptions(**options),
        )

    try:
        table = read(null_values=missing)
        if len(set(table.column_names)) < len(table.column_names):
            return table  # refused by its names
        fractions = [f.name for f in table.schema if pa.types.is_float64(f.type) and table[f.name].null_count]
        if not fractions or "nan" not in raw.lower():
            return table
        # A loss of NaN is a value that was measured, and no empty cell.
        empty = [text for text in missing if "nan" not in text.lower()]
        types = dict.fromkeys(fractions, pa.float64())
        with_nan = read(null_values=empty, column_types=types, include_columns=fractions)
        for name in fractions:
            table = table.set_column(table.column_names.index(name), name, with_nan[name])
        return table
    except pa.ArrowException as error:
        raise DegenError(f"{path}: a row of the table is wrong ({_shortened(error)}); correct it") from error


def read_text(path: Path) -> str:
    """Return the text of a file, decompressed where it is gzip.

    Raises:
        DegenError: the file is empty, damaged or not UTF-8.
    """
    try:
        raw = _unpacked(path) if path.name.lower().endswith(".gz") else path.read_bytes()
        text = raw.decode("utf-8-sig")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DegenError(f"{path}: damaged, or not a gzip file ({error}); save the table again") from error
    except UnicodeDecodeError as error:
        raise DegenError(
            f"{path}: the text is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    if not text.strip():
        raise DegenError(f"{path}: the file is empty; save the table again")
    return text.lstrip("\r\n")


def _unpacked(path: Path) -> bytes:
    """Return the content of a gzip file."""
    pieces, made = [], 0
    with path.open("rb") as raw, gzip.open(raw, "rb") as opened:
        while piece := opened.read(1 << 20):
            pieces.append(piece)
            made += len(piece)
            check_expansion(path, raw.tell(), made)
    return b"".join(pieces)


def _parquet(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        check_parquet(path, file.metadata, path.stat().st_size)
        table = file.read()
        for i, field in enumerate(table.schema):
            if pa.types.is_dictionary(field.type):
                table = table.set_column(i, field.name, table.column(i).cast(field.type.value_type))
            elif str(field.type) == "string_view":  # what Arrow itself cannot filter yet
                table = table.set_column(i, field.name, table.column(i).cast(pa.string()))
        # Nested columns hold no metrics, and Arrow can neither filter nor join some of them.
        table = table.select([i for i, field in enumerate(table.schema) if not _is_nested(field.type)])
        return table.replace_schema_metadata(None)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system refuses to read it; the OSErrors of pyarrow about the content have no number
        raise DegenError(
            f"{path}: damaged, or not a Parquet file ({_shortened(error)}); save the table again"
        ) from error


def _is_nested(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_nested(kind)) or "view" in str(kind)


def _shortened(error: Exception) -> str:
    """Return the message of an error on one line, at most 200 characters of it."""
    return " ".join(str(error).split())[:200]


def _part_files(folder: Path) -> list[Path]:
    """Return the Parquet files in a folder, at any depth, sorted by name.

    Files and folders whose names begin with `.` or `_` are left out.
    """
    files = sorted(p for p in folder.rglob("*.parquet") if p.is_file())
    return [p for p in files if not any(name.startswith((".", "_")) for name in p.relative_to(folder).parts)]


def _parts(folder: Path) -> pa.Table:
    import pyarrow as pa

    tables = []
    for path in _part_files(folder):
        table = _named(_parquet(path), path)
        for part in path.relative_to(folder).parts[:-1]:
            name, equals, value = part.partition("=")
            if equals and name not in table.column_names:
                table = table.append_column(name, pa.array([value] * len(table), pa.string()))
        tables.append(table)
    if not tables:
        raise DegenError(f"{folder}: this folder holds no Parquet part (*.parquet); name one that does, or a file")
    try:
        return pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    except pa.ArrowException as error:
        problem = f"the parts in this folder do not fit together as one table ({_shortened(error)})"
        raise DegenError(f"{folder}: {problem}; give each column the same type in all parts") from error


def _named(table: pa.Table, path: Path) -> pa.Table:
    """Return the table with spaces around its column names removed, and without columns that pandas wrote as an index.

    Raises:
        DegenError: two columns have one name, or none has a name.
    """
    names = [name.strip() for name in table.column_names]
    kept = [i for i, name in enumerate(names) if name and name not in _INDEX]
    table = table.rename_columns(names).select(kept)
    twice = next((name for name in table.column_names if table.column_names.count(name) > 1), None)
    if twice is not None:
        raise DegenError(f"{path}: two columns are called {twice!r}; rename one of them")
    if not kept:
        raise DegenError(f"{path}: no column has a name; add a header with names as the first line")
    return table
