"""`degen report`: one page about a run, and its figures as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import output

PAGE = Path("report.html")


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders that `degen scan` wrote.", show_default=False)
    ],
    page: Annotated[Path, typer.Option("--out", "-o", help="The page to write, an .html file.")] = PAGE,
) -> None:
    """Write one page about a run that works offline: verdicts in words, figures, and the numbers behind them.

    The file needs nothing but a browser. Several runs stand side by side in it.
    """
    from degen.report.write import check_page, write_page
    from degen.runs.run import read_run

    check_page(page, runs)
    opened = [read_run(run) for run in runs]
    output.first_word("drawing the report")
    size = write_page(opened, page, output.warn)
    output.result(f"{page}: {size / 1e6:.1f} MB")
