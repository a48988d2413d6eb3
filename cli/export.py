"""`degen export`: write one table of a run as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options, output
from .completion import complete_table


def export(
    run: options.RunFolder,
    table: Annotated[
        str,
        typer.Option(
            "--table", help="The table: checkpoints, layers, windows, spectrum, …", autocompletion=complete_table
        ),
    ],
    out_file: options.ResultFile = None,
    to: Annotated[Path | None, options.former("--to", "--out")] = None,
) -> None:
    """Write one table of a run as one file.

    Rows are in the order of training. A .duckdb file gains the table, or has it replaced.
    """
    from degen.errors import DegenError
    from degen.runs.export import check_result_file, export_table
    from degen.runs.run import read_run

    opened = read_run(run)
    option, file = ("--out", out_file) if out_file is not None else ("--to", to)
    if file is None:
        raise DegenError("no file to write; name one, as in --out layers.csv")
    check_result_file(file, run, option=option)
    rows = export_table(opened, table, file)
    output.result(f"{file}: {output.count(rows, 'row')} of {table}")
