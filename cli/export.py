"""`degen export`: write one table of a run as one file, or replay the run into a tracker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options, output
from .completion import complete_table, complete_tracker

if TYPE_CHECKING:
    from degen.runs.run import Run


def export(
    run: options.RunFolder,
    table: Annotated[
        str | None,
        typer.Option(
            "--table",
            help="The table: checkpoints, layers, windows, spectrum, …",
            show_default=False,
            autocompletion=complete_table,
        ),
    ] = None,
    out_file: options.ResultFile = None,
    destination: Annotated[
        str | None,
        typer.Option(
            "--to",
            help=f"Replay the run into a tracker: {options.TRACKERS}; or a file, as --out.",
            show_default=False,
            autocompletion=complete_tracker,
        ),
    ] = None,
) -> None:
    """Write one table of a run as one file, or replay the run into a tracker.

    Rows are in the order of training. A .duckdb file gains the table, or has it replaced. In a tracker each model is a
    run with a row for each checkpoint at its training step; replayed again, it is there once.
    """
    from degen.errors import DegenError
    from degen.runs.run import read_run
    from degen.trackers.destination import is_destination, parse_destination

    opened = read_run(run)
    if destination is not None and is_destination(destination):
        parse_destination("--to", destination).send(opened, output.result)
    elif out_file is None and destination is None:
        raise DegenError("nothing to write to; name a file, as in --out layers.csv, or a tracker with --to")
    if out_file is not None:
        _write(opened, table, out_file, "--out")
    if destination is not None and not is_destination(destination):
        _write(opened, table, Path(destination), "--to")


def _write(run: Run, table: str | None, file: Path, option: str) -> None:
    """Write a table of a run into a file.

    Raises:
        DegenError: no table is named, or there is none of that name, or the file cannot be written.
    """
    from degen.errors import DegenError
    from degen.runs.export import check_result_file, export_table

    if table is None:
        raise DegenError(f"{option} {file}: of which table? --table names one ({', '.join(run.tables)})")
    check_result_file(file, run.path, option=option)
    rows = export_table(run, table, file)
    output.result(f"{file}: {output.count(rows, 'row')} of {table}")
