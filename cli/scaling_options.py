"""Options that the commands of `degen scaling` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import output, parsing
from .option_groups import OptionGroup

if TYPE_CHECKING:
    from degen.metrics.curve import Better
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
Final = Annotated[bool, typer.Option("--final", help="Take the last checkpoint of each model alone.")]
Confidence = Annotated[float, typer.Option(help="Confidence of the intervals.")]


class QualityOptions(OptionGroup):
    """Which columns say architecture and quality."""

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
    direction: Annotated[
        list[str] | None,
        typer.Option(
            help="Which way of a column of quality is better, as in score=max or loss=min; again for more.",
            show_default="as the name says, or max",
        ),
    ] = None

    def asked(self, confidence: float) -> CompareOptions:
        """Return what a comparison is asked for.

        Args:
            confidence: of the intervals.

        Raises:
            DegenError: a direction that cannot be parsed.
        """
        from degen.scaling.architectures.options import CompareOptions

        sides: tuple[Better, ...] = ("min", "max")
        pairs = parsing.parse_pairs("--direction", self.direction, "loss=min")
        directions = {name: parsing.parse_choice(f"--direction {name}", side, sides) for name, side in pairs.items()}
        return CompareOptions(self.architecture, self.upstream, tuple(self.downstream or ()), directions, confidence)


class FileOptions(OptionGroup):
    """Files that are written; their parameters are not `plot` and `out`, which mean other things to `degen rank`."""

    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Draw it into this file (.png, .pdf, .svg).", show_default=False)
    ] = None
    out_file: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Write the rows to this file: .parquet, .csv, .json or .duckdb.", show_default=False
        ),
    ] = None

    def check(self, table: Path) -> None:
        """Refuse files that cannot be written, or that would replace the table, before anything is computed.

        Raises:
            DegenError: such a file.
        """
        if self.out_file is not None:
            from degen.runs.export import check_result_file

            check_result_file(self.out_file, table, option="--out")
        if self.plot_file is not None:
            from degen.drawing import check_plot
            from degen.runs.output_files import check_output

            check_plot(self.plot_file)
            check_output(self.plot_file, [table], "--plot")


def read_models(table: Path, columns: str | None, final: bool) -> Points:
    """Return the models of a table, one or several rows each.

    Args:
        table: a table or run.
        columns: comma list of the columns of quantities that are called otherwise.
        final: take the last row of each model alone.

    Raises:
        DegenError: columns that cannot be parsed, or a table that cannot be used.
    """
    from degen.scaling.read_points import read_points

    names = parsing.parse_names("--columns", columns) if columns is not None else None
    points = read_points(table, parsing.parse_pairs("--columns", names, "params=N"), output.warn)
    if final:
        return points.final()
    if points.is_series:
        output.warn("models have several rows each, and each row counts as a model; --final takes the last of each")
    return points
