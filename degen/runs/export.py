"""One table of a run as one file, in the formats that other tools open."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.errors import DegenError
from degen.paths import atomic
from degen.tables import write_parquet

from .output_files import check_output
from .run import Run

if TYPE_CHECKING:
    import pyarrow as pa


_FORMULA = r"^[=+\-@\t\r\n]"  # how a cell begins that a spreadsheet would compute, or that hides such a beginning


def export_table(run: Run, name: str, to: Path) -> int:
    """Write a table to a file whose ending says the format: `.parquet`, `.csv`, `.json` or `.duckdb`.

    A `.duckdb` file gains a table of that name, or has it replaced; the others are written whole or not at all.

    Returns:
        The number of rows.

    Raises:
        DegenError: an unknown ending, no such table, a missing extra, or a file that cannot be written.
    """
    check_result_file(to)
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


def check_result_file(to: Path, *sources: str | Path, option: str = "") -> None:
    """Refuse a file for a result before it is computed.

    Args:
        to: the file.
        sources: what the result is about.
        option: that names the file, for messages; empty for none.

    Raises:
        DegenError: no format that can be written, or a file that `check_output` refuses.
    """
    check_ending(to)
    check_output(to, sources, option)


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
    file = check_output(to)
    try:
        _WRITERS[to.suffix](table, name, file)
    except OSError as error:
        raise DegenError(f"{to}: cannot be written ({error.strerror or error})") from error


def _csv(table: pa.Table, _name: str, to: Path) -> None:
    import pyarrow as pa
    import pyarrow.csv as csv

    if lists := [field.name for field in table.schema if pa.types.is_list(field.type)]:
        raise DegenError(f"{to}: column {lists[0]} holds vectors, which CSV cannot; write a .parquet file")
    with atomic(to) as temporary:
        csv.write_csv(_without_formulas(table), temporary)


def _without_formulas(table: pa.Table) -> pa.Table:
    """Return a table whose texts no spreadsheet takes for a formula: a `'` stands in front of such a text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for i, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            texts = table.column(i)
            risky = pc.match_substring_regex(texts, _FORMULA)
            table = table.set_column(i, field, pc.if_else(risky, pc.binary_join_element_wise("'", texts, ""), texts))
    return table.rename_columns([f"'{name}" if re.match(_FORMULA, name) else name for name in table.column_names])


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
    try:
        if to.exists():
            duckdb.connect(str(to), read_only=True).close()  # fails where it is damaged, or open elsewhere
        with atomic(to) as temporary:
            temporary.unlink()  # DuckDB makes a file of its own, and takes no empty one
            if to.exists():
                shutil.copyfile(to, temporary)
            with duckdb.connect(str(temporary)) as connection:
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
