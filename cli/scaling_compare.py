"""`degen scaling slopes` and `degen scaling pareto`: models and architectures compared."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options, output, parsing
from .option_groups import expand_groups
from .scaling_options import Columns, Confidence, FileOptions, Final, QualityOptions, Table, read_models
from .scaling_tables import print_pareto, print_slopes


@expand_groups
def slopes(
    *,
    table: Table,
    columns: Columns = None,
    quality_options: QualityOptions,
    regions: Annotated[
        str,
        typer.Option(
            help="Regions of compute to rank in: how many, of equal width in log FLOPs, or their edges, "
            "as in 1e18,1e20,1e22."
        ),
    ] = "4",
    final: Final = False,
    confidence: Confidence = 0.9,
    file_options: FileOptions,
    json: options.Json = False,
) -> None:
    """Say how fast each architecture improves with size and compute, and where their order changes.

    The slopes of straight lines for FLOPs and parameters against upstream and downstream quality, and upstream against
    downstream, on semi-log (y against log10 x) and log-log axes; the ranking in each region of compute; and the compute
    at which two lines cross. No line is drawn beyond its points. The file of --out gets the slopes, --json all.
    """
    from degen.runs.export import write_table
    from degen.scaling.architectures.families import compare_architectures

    file_options.check(table)
    asked = quality_options.asked(confidence)
    answer = compare_architectures(read_models(table, columns, final), asked, _parse_regions(regions), output.warn)
    if json:
        document = {"rows": answer.rows, "ranking": answer.ranking, "crossings": answer.crossings}
        output.result_json({"target": str(table), "confidence": confidence, **document})
    else:
        print_slopes(answer)
    if file_options.out_file is not None:
        write_table(answer.table(), "slopes", file_options.out_file)
    if file_options.plot_file is not None:
        from degen.scaling.architectures.plots import draw_slopes

        draw_slopes(answer, file_options.plot_file)


@expand_groups
def pareto(
    *,
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
    quality_options: QualityOptions,
    equal_cost: Annotated[
        str, typer.Option(help="Costs within this share of each other are equal, where shapes are compared.")
    ] = "10%",
    final: Final = False,
    confidence: Confidence = 0.9,
    file_options: FileOptions,
    json: options.Json = False,
) -> None:
    """Say which models no other beats at their cost, and where better upstream is not better downstream.

    The frontier over all columns of cost and quality at once, and over each pair of them; what dominates the others;
    the rank correlation of upstream and downstream quality, and the pairs of models that reverse; and whether deeper
    models are better at equal cost, where the table has shapes. The file of --out gets the points, --json all.
    """
    from degen.runs.export import write_table
    from degen.scaling.architectures.pareto_report import find_pareto

    file_options.check(table)
    asked = quality_options.asked(confidence)
    points = read_models(table, columns, final)
    answer = find_pareto(points, asked, cost or (), quality or (), _parse_share(equal_cost), output.warn)
    if json:
        document = {name: getattr(answer, name) for name in ("rows", "frontiers", "correlations", "reversals")}
        output.result_json({"target": str(table), "confidence": confidence, **document, "shapes": answer.shapes})
    else:
        print_pareto(answer)
    if file_options.out_file is not None:
        write_table(answer.table(), "pareto", file_options.out_file)
    if file_options.plot_file is not None:
        from degen.scaling.architectures.plots import draw_pareto

        draw_pareto(answer, file_options.plot_file)


def _parse_regions(text: str) -> int | list[float]:
    """Return a number of regions, or their edges."""
    from degen.errors import DegenError

    if (count := parsing.whole_number(text.strip())) is not None:
        return count
    try:
        return [float(edge) for edge in parsing.parse_names("--regions", text)]
    except ValueError:
        raise DegenError(f"--regions {text}: a whole number, or edges in FLOPs as in 1e18,1e20,1e22") from None


def _parse_share(text: str) -> float:
    """Return `10%` or `0.1` as 0.1."""
    from degen.errors import DegenError

    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise DegenError(f"--equal-cost {text}: a share, as in 10% or 0.1") from None
