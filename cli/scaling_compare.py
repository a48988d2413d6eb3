"""`degen scaling slopes`, `pareto` and `shapes`: compare architectures, models and their shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

import typer

from . import options, output, parsing
from .option_groups import expand_groups
from .scaling_options import (
    By,
    Columns,
    Confidence,
    FileOptions,
    Final,
    QualityOptions,
    Table,
    models_of,
    note_source,
    read_table,
)
from .scaling_tables import print_pareto, print_shapes, print_slopes

Costs = Annotated[
    list[str] | None,
    typer.Option(
        "--cost",
        help="A column of cost, of which less is better; again for more.",
        show_default="those of parameters, flops and seconds that the table has",
    ),
]

if TYPE_CHECKING:
    import pyarrow as pa

    from degen.figures.figure import Figure
    from degen.readers.source_summary import SourceSummary
    from degen.scaling.architectures.families import Slopes
    from degen.scaling.architectures.pareto_report import Pareto
    from degen.scaling.architectures.shape_report import ShapeReport
    from degen.scaling.groups import ByGroup
    from degen.scaling.points import Points
    from degen.tables import Row


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
    by: By = None,
    file_options: FileOptions,
    json: options.Json = False,
) -> None:
    """Compare how fast architectures improve with size and compute, and where their order changes.

    The result is the slopes of straight lines of upstream and downstream quality over FLOPs and parameters, and of
    downstream over upstream quality, on semi-log (y against log10 x) and log-log axes; the ranking in each region of
    compute; and the compute at which two lines cross. Lines are not extrapolated. --out writes the slopes, --json all.
    """
    from degen.scaling.architectures.families import compare_architectures

    file_options.check(table, by)
    compare_options, bounds = quality_options.compare_options(confidence), _parse_regions(regions)
    compared = _judge(
        table,
        columns,
        by,
        lambda part: compare_architectures(models_of(part, final), compare_options, bounds, output.warn),
    )
    if json:
        _print_json(compared, table, confidence)
    else:
        print_slopes(compared)
    _write_files(compared, file_options, "slopes", _draw_slopes)


@expand_groups
def pareto(
    *,
    table: Table,
    columns: Columns = None,
    cost: Costs = None,
    quality: Annotated[
        list[str] | None,
        typer.Option(
            help="A column of quality for the frontier; again for more.", show_default="upstream and downstream"
        ),
    ] = None,
    quality_options: QualityOptions,
    equal_cost: Annotated[
        str, typer.Option(help="Costs within this share of each other count as equal, where shapes are compared.")
    ] = "10%",
    final: Final = False,
    confidence: Confidence = 0.9,
    by: By = None,
    file_options: FileOptions,
    json: options.Json = False,
) -> None:
    """Find the models that no other model beats at their cost, and those that reverse from upstream to downstream.

    The result is the Pareto frontier over all columns of cost and quality at once, and over each pair of them, with the
    point that dominates each of the others; the rank correlation of upstream and downstream quality, and the pairs of
    models that reverse; and whether deeper models are better at equal cost, where the table has layers and width.
    --out writes the points, --json all.
    """
    from degen.scaling.architectures.pareto_report import find_pareto

    file_options.check(table, by)
    compare_options, share = quality_options.compare_options(confidence), _parse_share(equal_cost)
    compared = _judge(
        table,
        columns,
        by,
        lambda part: find_pareto(
            models_of(part, final), compare_options, cost or (), quality or (), share, output.warn
        ),
    )
    if json:
        _print_json(compared, table, confidence)
    else:
        print_pareto(compared)
    _write_files(compared, file_options, "pareto", _draw_pareto)


@expand_groups
def shapes(
    *,
    table: Table,
    columns: Columns = None,
    cost: Costs = None,
    knob: Annotated[
        list[str] | None,
        typer.Option(
            help="A column that is a knob of the shape, beside layers, d_model, d_ff, heads, d_kv and experts; again "
            "for more.",
            show_default=False,
        ),
    ] = None,
    quality_options: QualityOptions,
    final: Final = False,
    confidence: Confidence = 0.9,
    by: By = None,
    file_options: FileOptions,
    json: options.Json = False,
) -> None:
    """Tell what each knob of a model's shape buys: layers, width, feed-forward, heads, key width, experts.

    The result is the elasticity of upstream and downstream quality in each knob that the table varies, at equal other
    knobs and at equal cost, and per cost; from where on more of it stops paying; where upstream and downstream
    disagree about it, all of this within each architecture; and for every model the cheapest other one of the table
    that is as good. Where knobs move together it cannot tell, and says so. --out writes the effects, --json all.
    """
    from degen.scaling.architectures.shape_report import report_shapes

    file_options.check(table, by)
    compare_options = quality_options.compare_options(confidence)
    compared = _judge(
        table,
        columns,
        by,
        lambda part: report_shapes(models_of(part, final), compare_options, cost or (), knob or (), output.warn),
    )
    if json:
        _print_json(compared, table, confidence)
    else:
        print_shapes(compared)
    _write_files(compared, file_options, "shapes", _draw_shapes)


class _Comparison(Protocol):
    """The result of a comparison."""

    @property
    def source(self) -> SourceSummary: ...

    def document(self) -> Row: ...

    def table(self) -> pa.Table: ...


R = TypeVar("R", bound=_Comparison)


def _judge(table: Path, columns: str | None, by: str | None, judge: Callable[[Points], R]) -> ByGroup[R]:
    """Return the result for a table, or for each group of it, and say on stderr what was understood of the table.

    Args:
        table: the table.
        columns: comma list of `quantity=column`; None where all columns have usual names.
        by: the column of groups; None without.
        judge: returns the result for some rows.
    """
    from degen.scaling.groups import judge_groups

    compared = judge_groups(read_table(table, columns), by, judge, output.warn)
    note_source(compared.source(lambda result: result.source))
    return compared


def _print_json(compared: ByGroup[R], table: Path, confidence: float) -> None:
    document = compared.document(lambda result: result.document(), lambda result: result.source)
    output.result_json({"target": str(table), "confidence": confidence, **document})


def _write_files(compared: ByGroup[R], file_options: FileOptions, name: str, draw: Callable[[R], Figure]) -> None:
    """Write the files that are named.

    Args:
        compared: the result, or that of each group.
        file_options: names the files.
        name: of the table, in a `.duckdb` file.
        draw: returns the figure of a result.
    """
    file_options.write(lambda: compared.table(lambda result: result.table()), name, lambda: draw(compared.only))


def _parse_regions(text: str) -> int | list[float]:
    """Return the number of regions, or their edges in FLOPs."""
    from degen.errors import DegenError

    if (count := parsing.whole_number(text.strip())) is not None:
        return count
    try:
        return [float(edge) for edge in parsing.parse_names("--regions", text)]
    except ValueError:
        raise DegenError(f"--regions {text}: must be a whole number, or edges in FLOPs as in 1e18,1e20,1e22") from None


def _parse_share(text: str) -> float:
    """Return the share that a text such as `10%` or `0.1` names."""
    from degen.errors import DegenError

    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise DegenError(f"--equal-cost {text}: must be a share, as in 10% or 0.1") from None


def _draw_slopes(result: Slopes) -> Figure:
    from degen.figures.architectures import draw_slopes

    return draw_slopes(result)


def _draw_pareto(result: Pareto) -> Figure:
    from degen.figures.architectures import draw_pareto

    return draw_pareto(result)


def _draw_shapes(result: ShapeReport) -> Figure:
    from degen.figures.shapes import draw_shapes

    return draw_shapes(result)
