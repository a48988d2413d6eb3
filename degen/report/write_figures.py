"""The figures of a run written to a folder at the width of a paper's column, each with its numbers as CSV beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from degen.errors import DegenError
from degen.figures.export import Format, save_figure
from degen.figures.figure import VALUES, Figure
from degen.paths import expand_user
from degen.runs.export import write_table
from degen.runs.output_files import check_output
from degen.runs.run import Run

from .content import Drawing
from .papers import paper_figures
from .registry import sections_of
from .run_data import ReportData

WIDTH, HEIGHT = 260, 170  # pixels of a plot that, with its axis, is as wide as a column of 84 mm


def check_folder(folder: Path, sources: Sequence[str | Path]) -> Path:
    """Refuse a folder that figures cannot be written to, before anything is read, and return it with `~` replaced.

    Raises:
        DegenError: it is a file, lies in a folder that does not exist, or is one of a run's.
    """
    there = expand_user(folder)
    if there.exists() and not there.is_dir():
        raise DegenError(f"--figures {folder}: is a file; name a folder")
    if not there.absolute().parent.is_dir():
        raise DegenError(f"--figures {folder}: no such folder")
    check_output(there / "loss.svg", sources, "--figures")
    return there


def write_figures(
    runs: Sequence[Run],
    folder: Path,
    ending: Format,
    paper: str | None,
    warn: Callable[[str], None],
    *,
    published: bool = False,
) -> tuple[list[Path], list[str]]:
    """Write the figures of the page of some runs, or those of a paper, and the numbers of each.

    Args:
        runs: the runs, at least one.
        folder: where they go.
        ending: `svg`, `pdf` or `png`.
        paper: whose figures; None for those of the page.
        warn: called with each line of warning.
        published: whether the curves of the paper are drawn beside.

    Returns:
        The files of the figures, and the numbers of those of the paper that the runs have no data for.

    Raises:
        DegenError: a run cannot be read, there is nothing to draw, or a file cannot be written.
    """
    data = ReportData(runs, warn)
    missing: list[str] = []
    if paper is None:
        figures = [b.figure for section in sections_of(data) for b in section.build(data) if isinstance(b, Drawing)]
    else:
        figures, missing = paper_figures(paper, data, published=published)
    if not figures:
        raise DegenError(f"{runs[0].name}: nothing to draw was measured")
    files = [folder / f"{figure.name}.{ending}" for figure in figures]
    for file in files:
        check_output(file)
    folder.mkdir(exist_ok=True)
    for figure, file in zip(figures, files, strict=True):
        save_figure(figure, file, WIDTH, HEIGHT)
        _write_numbers(figure, folder)
    return files, missing


def _write_numbers(figure: Figure, folder: Path) -> None:
    """Write each table of a figure as CSV: the first by the figure's name, others with their own behind it."""
    import pyarrow as pa

    for name, rows in figure.tables.items():
        file = folder / (f"{figure.name}.csv" if name == VALUES else f"{figure.name}-{name}.csv")
        write_table(pa.Table.from_pylist(list(rows)), name, file)
