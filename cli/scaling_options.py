"""Options that the commands of `degen scaling` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options, output, parsing
from .option_groups import OptionGroup

if TYPE_CHECKING:
    import pyarrow as pa

    from degen.figures.figure import Figure
    from degen.readers.source_summary import SourceSummary
    from degen.scaling.architectures.options import CompareOptions
    from degen.scaling.points import Points

Table = Annotated[
    Path,
    typer.Argument(
        metavar="TABLE", help="A CSV or Parquet table with a row for each model, or a run folder.", show_default=False
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        help="Comma list of the columns of quantities that are called otherwise, as in params=N,tokens=D.",
        show_default=False,
    ),
]
By = Annotated[
    str | None,
    typer.Option(
        help="A column of sources, as dataset or family: each of its values is judged by itself.", show_default=False
    ),
]
Final = Annotated[bool, typer.Option("--final", help="Take the last checkpoint of each model alone.")]
Confidence = Annotated[float, typer.Option(help="Confidence of the intervals.")]


class QualityOptions(OptionGroup):
    """The columns of architecture and quality."""

    architecture: Annotated[
        str | None,
        typer.Option(
            help="The column that says which architecture a model has.",
            show_default="architecture, family, model_type; for slopes, the model where there is none",
        ),
    ] = None
    upstream: Annotated[
        str | None,
        typer.Option(
            help="The column of quality in pre-training.", show_default="upstream, a loss, or what is called like one"
        ),
    ] = None
    downstream: Annotated[
        list[str] | None,
        typer.Option(
            help="A column of quality in tasks; again for more.", show_default="downstream…, or accuracies and the like"
        ),
    ] = None
    better: options.Better = None
    direction: Annotated[list[str] | None, options.former("--direction", "--better")] = None

    def compare_options(self, confidence: float) -> CompareOptions:
        """Return the options of a comparison.

        Args:
            confidence: of the intervals.

        Raises:
            DegenError: a direction cannot be parsed.
        """
        from degen.scaling.architectures.options import CompareOptions

        directions = parsing.parse_better("--better", [*(self.better or ()), *(self.direction or ())])
        return CompareOptions(self.architecture, self.upstream, tuple(self.downstream or ()), directions, confidence)


class FileOptions(OptionGroup):
    """Files to write. The parameters are not `plot` and `out`, which are other options of `degen rank`."""

    plot_file: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw the result into this file (.png, .pdf, .svg).", show_default=False),
    ] = None
    out_file: options.ResultFile = None

    def check(self, table: Path | None, by: str | None = None) -> None:
        """Refuse files that cannot be written, or that would replace the table, before anything is computed.

        Args:
            table: the table; None without one.
            by: the column whose values are judged by themselves; None without one.

        Raises:
            DegenError: there is such a file.
        """
        if self.out_file is not None:
            from degen.runs.export import check_result_file

            check_result_file(self.out_file, *([table] if table is not None else []), option="--out")
        if self.plot_file is not None:
            from degen.errors import DegenError
            from degen.figures.export import check_figure
            from degen.runs.output_files import check_output

            if by is not None:
                raise DegenError(f"--plot {self.plot_file}: a figure shows one result; leave out --by or --plot")
            check_figure(self.plot_file)
            check_output(self.plot_file, [table], "--plot")

    def write(self, table: Callable[[], pa.Table], name: str, draw: Callable[[], Figure] | None = None) -> None:
        """Write the files that are named.

        Args:
            table: returns the rows for `--out`.
            name: of the table, in a `.duckdb` file.
            draw: returns the figure for `--plot`; None for a command without one.

        Raises:
            DegenError: a file cannot be written.
        """
        if self.out_file is not None:
            output.write_rows(table(), name, self.out_file)
        if self.plot_file is not None and draw is not None:
            output.write_figure(draw(), self.plot_file)


def read_table(table: Path, columns: str | None, tokens_per_step: int | None = None) -> Points:
    """Return the points of a table or run, with warnings on stderr.

    Args:
        table: the table or run folder.
        columns: comma list of `quantity=column`; None where all columns have usual names.
        tokens_per_step: training tokens of a step, for rows without tokens; None if unknown.

    Raises:
        DegenError: the columns cannot be parsed, or the table cannot be used.
    """
    from degen.scaling.read_points import read_points

    names = parsing.parse_names("--columns", columns) if columns is not None else None
    named = parsing.parse_pairs("--columns", names, "params=N")
    return read_points(table, named, output.warn, tokens_per_step, output.note)


def note_source(source: SourceSummary | None) -> None:
    """Print what was understood of a table as one line on stderr."""
    if source is not None:
        output.note(source.line)


def models_of(points: Points, final: bool) -> Points:
    """Return the models among the points: every row, or the last of each model if `final`; see `Points.final`."""
    if final:
        return points.final()
    if points.is_series:
        output.warn("models have several rows each, and each row counts as a model; --final takes the last of each")
    return points
