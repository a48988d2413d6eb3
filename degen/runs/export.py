"""One table of a run as one file, in the formats that other tools open."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.errors import DegenError
from degen.tables import atomic, write_parquet

from .run import Run

if TYPE_CHECKING:
    import pyarrow as pa


def export_table(run: Run, name: str, to: Path) -> int:
    """Write a table to a file whose ending says the format: `.parquet`, `.csv`, `.json` or `.duckdb`.

    A `.duckdb` file gains a table of that name, or has it replaced; the others are written whole or not at all.

    Returns:
        The number of rows.

    Raises:
        DegenError: an unknown ending, no such table, a missing extra, or a file that cannot be written.
    """
    check_ending(to)
    table = run.table(name)
    write_table(table, name, to)
    return int(table.num_rows)


def check_ending(to: Path) -> None:
    """Refuse a file whose ending is of no format that can be written.

    Raises:
        DegenError: it names the endings there are.
    """
    if to.suffix not in _WRITERS:
        raise DegenError(f"{to}: ends in none of {', '.join(_WRITERS)}")


def check_result_file(to: Path, source: Path) -> None:
    """Refuse a file for a result before it is computed: no format that can be written, or the table it is about.

    Raises:
        DegenError: either.
    """
    check_ending(to)
    source = source.expanduser()
    if to.exists() and source.exists() and to.samefile(source):
        raise DegenError(f"{to}: is the table itself, which the result would replace; name another file")


def write_table(table: pa.Table, name: str, to: Path) -> None:
    """Write any table as `export_table` does.

    Args:
        table: the rows.
        name: the name that a table of DuckDB gets.
        to: the file.

    Raises:
        DegenError: an unknown ending, a missing extra, or a file that cannot be written.
    """
    check_ending(to)
    try:
        _WRITERS[to.suffix](table, name, to)
    except OSError as error:
        raise DegenError(f"{to}: cannot be written ({error.strerror or error})") from error


def _csv(table: pa.Table, _name: str, to: Path) -> None:
    import pyarrow.csv as csv

    with atomic(to) as temporary:
        csv.write_csv(table, temporary)


def _json(table: pa.Table, _name: str, to: Path) -> None:
    def json_safe(value: Any) -> Any:
        return None if isinstance(value, float) and not math.isfinite(value) else value

    rows = [{key: json_safe(value) for key, value in row.items()} for row in table.to_pylist()]
    with atomic(to) as temporary:
        temporary.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _duckdb(table: pa.Table, name: str, to: Path) -> None:
    try:
        import duckdb
    except ImportError as error:
        raise DegenError(f"{to}: DuckDB needs an extra: pip install 'degen-lm[duckdb]'") from error
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        with duckdb.connect(str(to)) as connection:
            connection.register("exported", table)
            quoted = name.replace('"', '""')
            connection.execute(f'CREATE OR REPLACE TABLE "{quoted}" AS SELECT * FROM exported')
    except duckdb.Error as error:
        raise DegenError(f"{to}: not a DuckDB file that can be written ({error})") from error


_WRITERS = {
    ".parquet": lambda table, _name, to: write_parquet(table, to),
    ".csv": _csv,
    ".json": _json,
    ".duckdb": _duckdb,
}
