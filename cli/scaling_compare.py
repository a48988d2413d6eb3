"""`degen scaling slopes` and `degen scaling pareto`: models and architectures compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options, output, parsing, scaling_tables

if TYPE_CHECKING:
    from degen.metrics.curve import Better
    from degen.scaling.architectures.families import Slopes
    from degen.scaling.architectures.options import CompareOptions
    from degen.scaling.architectures.pareto_report import Pareto
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
Architecture = Annotated[
    str | None,
    typer.Option(
        help="The column that says which architecture a model has.",
        show_default="architecture, family, model_type; for slopes, the model where there is none",
    ),
]
Upstream = Annotated[
    str | None,
    typer.Option(
        help="The column of quality in pre-training.", show_default="upstream, a loss, or what is called like one"
    ),
]
Downstream = Annotated[
    list[str] | None,
    typer.Option(
        help="A column of quality in tasks; again for more.", show_default="downstream…, or accuracies and the like"
    ),
]
Direction = Annotated[
    list[str] | None,
    typer.Option(
        help="Which way of a column of quality is better, as in score=max or loss=min; again for more.",
        show_default="as the name says, or max",
    ),
]
Final = Annotated[bool, typer.Option("--final", help="Take the last checkpoint of each model alone.")]
Confidence = Annotated[float, typer.Option(help="Confidence of the intervals.")]
# Not `plot` and `out`, which are other options of `degen rank`: what it draws is its own, and it writes a folder.
PlotFile = Annotated[
    Path | None, typer.Option("--plot", help="Draw it into this file (.png, .pdf, .svg).", show_default=False)
]
OutFile = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="Write the rows to this file: .parquet, .csv, .json or .duckdb.", show_default=False
    ),
]


def slopes(
    table: Table,
    columns: Columns = None,
    architecture: Architecture = None,
    upstream: Upstream = None,
    downstream: Downstream = None,
    direction: Direction = None,
    regions: Annotated[
        str,
        typer.Option(
            help="Regions of compute to rank in: how many, of equal width in log FLOPs, or their edges, "
            "as in 1e18,1e20,1e22."
        ),
    ] = "4",
    final: Final = False,
    confidence: Confidence = 0.9,
    plot_file: PlotFile = None,
    out_file: OutFile = None,
    json: options.Json = False,
) -> None:
    """Say how fast each architecture improves with size and compute, and where their order changes.

    The slopes of straight lines for FLOPs and parameters against upstream and downstream quality, and upstream against
    downstream, on semi-log (y against log10 x) and log-log axes; the ranking in each region of compute; and the compute
    at which two lines cross. No line is drawn beyond its points. The file of --out gets the slopes, --json all.
    """
    from degen.scaling.architectures.families import compare_architectures

    check_files(table, plot_file, out_file)
    asked = _asked(architecture, upstream, downstream, direction, confidence)
    answer = compare_architectures(_points(table, columns, final), asked, _regions(regions), output.warn)
    if out_file is not None:
        _write(answer, "slopes", out_file)
    if plot_file is not None:
        from degen.scaling.architectures.plots import draw_slopes

        draw_slopes(answer, plot_file)
    if json:
        document = {"rows": answer.rows, "ranking": answer.ranking, "crossings": answer.crossings}
        output.result_json({"target": str(table), "confidence": confidence, **document})
    else:
        scaling_tables.print_slopes(answer)


def pareto(
    table: Table,
    columns: Columns = None,
    cost: Annotated[
        list[str] | None,
        typer.Option(
            help="A column of cost, of which less is better; again for more.",
            show_default="parameters, flops and seconds, where they are",
        ),
    ] = None,
    quality: Annotated[
        list[str] | None,
        typer.Option(
            help="A column of quality for the frontier; again for more.", show_default="upstream and downstream"
        ),
    ] = None,
    architecture: Architecture = None,
    upstream: Upstream = None,
    downstream: Downstream = None,
    direction: Direction = None,
    equal_cost: Annotated[
        str, typer.Option(help="Costs within this share of each other are equal, where shapes are compared.")
    ] = "10%",
    final: Final = False,
    confidence: Confidence = 0.9,
    plot_file: PlotFile = None,
    out_file: OutFile = None,
    json: options.Json = False,
) -> None:
    """Say which models no other beats at their cost, and where better upstream is not better downstream.

    The frontier over all columns of cost and quality at once, and over each pair of them; what dominates the others;
    the rank correlation of upstream and downstream quality, and the pairs of models that reverse; and whether deeper
    models are better at equal cost, where the table has shapes. The file of --out gets the points, --json all.
    """
    from degen.scaling.architectures.pareto_report import find_pareto

    check_files(table, plot_file, out_file)
    asked = _asked(architecture, upstream, downstream, direction, confidence)
    answer = find_pareto(
        _points(table, columns, final), asked, cost or (), quality or (), _share(equal_cost), output.warn
    )
    if out_file is not None:
        _write(answer, "pareto", out_file)
    if plot_file is not None:
        from degen.scaling.architectures.plots import draw_pareto

        draw_pareto(answer, plot_file)
    if json:
        document = {name: getattr(answer, name) for name in ("rows", "frontiers", "correlations", "reversals")}
        output.result_json({"target": str(table), "confidence": confidence, **document, "shapes": answer.shapes})
    else:
        scaling_tables.print_pareto(answer)


def check_files(table: Path, plot: Path | None, out: Path | None) -> None:
    """Refuse files that cannot be written, or that would replace the table, before anything is computed."""
    if out is not None:
        from degen.runs.export import check_result_file

        check_result_file(out, table)
    if plot is not None:
        from degen.drawing import check_plot

        check_plot(plot)


def _write(answer: Slopes | Pareto, name: str, to: Path) -> None:
    from degen.runs.export import write_table

    write_table(answer.table(), name, to)


def _points(table: Path, columns: str | None, final: bool) -> Points:
    from degen.scaling.read_points import read_points

    given = parsing.names("--columns", columns) if columns is not None else None
    points = read_points(table, parsing.pairs("--columns", given, "params=N"), output.warn)
    if final:
        return points.final()
    if points.is_series:
        output.warn("models have several rows each, and each row counts as a model; --final takes the last of each")
    return points


def _asked(
    architecture: str | None,
    upstream: str | None,
    downstream: Sequence[str] | None,
    direction: Sequence[str] | None,
    confidence: float,
) -> CompareOptions:
    from degen.scaling.architectures.options import CompareOptions

    sides: tuple[Better, ...] = ("min", "max")
    said = parsing.pairs("--direction", direction, "loss=min")
    directions = {name: parsing.choice(f"--direction {name}", side, sides) for name, side in said.items()}
    return CompareOptions(architecture, upstream, tuple(downstream or ()), directions, confidence)


def _regions(said: str) -> int | list[float]:
    """A number of regions, or their edges."""
    from degen.errors import DegenError

    if said.strip().isdecimal():
        return int(said)
    try:
        return [float(edge) for edge in parsing.names("--regions", said)]
    except ValueError:
        raise DegenError(f"--regions {said}: a whole number, or edges in FLOPs as in 1e18,1e20,1e22") from None


def _share(said: str) -> float:
    """`10%` or `0.1` as 0.1."""
    from degen.errors import DegenError

    try:
        return float(said[:-1]) / 100 if said.endswith("%") else float(said)
    except ValueError:
        raise DegenError(f"--equal-cost {said}: a share, as in 10% or 0.1") from None
