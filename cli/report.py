"""`degen report`: one page about a run, and its figures as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import output, parsing

PAGE = Path("report.html")
RUNS = typer.Argument(
    metavar="RUN...",
    help="Run folders that `degen scan` wrote, or URLs as hf://datasets/ORG/NAME.",
    show_default=False,
)


def report(
    runs: Annotated[list[str], RUNS],
    page: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The page to write, an .html file.", show_default="report.html, without --figures"
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            help="A folder for the figures, each as wide as a column of a paper, its numbers as CSV beside it.",
            show_default=False,
        ),
    ] = None,
    ending: Annotated[str, typer.Option("--format", help="Of the figures: svg, pdf or png.")] = "svg",
    paper: Annotated[
        str | None,
        typer.Option(
            help="Draw the figures of a paper instead: godey2024 (arXiv 2404.07647), figure-1a to figure-7.",
            show_default=False,
        ),
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="With --paper: draw the published curves beside the run's.")
    ] = False,
) -> None:
    """Write one page about a run that works offline: verdicts in words, figures, and the numbers behind them.

    The page needs nothing but a browser. Several runs stand side by side in it. --figures writes figures as files.
    """
    from degen.errors import DegenError
    from degen.figures.export import FORMATS
    from degen.report.papers import PAPERS
    from degen.report.write import check_page, write_page
    from degen.report.write_figures import check_folder, write_figures
    from degen.runs.run import read_run

    if figures is None and (paper is not None or published):
        raise DegenError("--paper and --published say what --figures DIR writes; name a folder with --figures")
    image = parsing.parse_choice("--format", ending, FORMATS)
    name = parsing.parse_choice("--paper", paper, tuple(PAPERS)) if paper is not None else None
    to = PAGE if page is None and figures is None else page
    if to is not None:
        check_page(to, runs)
    folder = check_folder(figures, runs) if figures is not None else None
    opened = [read_run(run) for run in runs]
    output.first_word("drawing the report")
    if to is not None:
        size = write_page(opened, to, output.warn)
        output.result(f"{to}: {size / 1e6:.1f} MB")
    if folder is not None:
        files, missing = write_figures(opened, folder, image, name, output.warn, published=published)
        output.result(f"{figures}: {len(files)} figures ({', '.join(file.name for file in files)})")
        for number in missing:
            output.result(f"figure {number} of {name}: not measured")
