"""`degen export`: write one table of a run as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options, output


def export(
    run: options.RunFolder,
    table: Annotated[str, typer.Option("--table", help="The table: checkpoints, layers, windows, spectrum, …")],
    to: Annotated[Path, typer.Option("--to", help="The file to write: .parquet, .csv, .json or .duckdb.")],
) -> None:
    """Write one table of a run as one file.

    Rows are in the order of training. A .duckdb file gains the table, or has it replaced.
    """
    from degen.runs.export import check_result_file, export_table
    from degen.runs.run import read_run

    opened = read_run(run)
    check_result_file(to, run, option="--to")
    rows = export_table(opened, table, to)
    output.result(f"{to}: {rows} rows of {table}")
