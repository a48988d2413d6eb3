"""The tables that `degen scaling` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import output

if TYPE_CHECKING:
    from degen.scaling.architectures.families import Slopes
    from degen.scaling.architectures.pareto_report import Pareto
    from degen.scaling.result import FitResult
    from degen.tables import Row

MAX_REVERSALS = 20  # that a terminal shows; --json has all

Cells = Mapping[str, str | Callable[["Row"], Any]]


def print_fit(result: FitResult) -> None:
    """Print the parameters of a law, its frontier and its predictions."""
    from degen.scaling.data_range import BEYOND

    rows = []
    for name, p in result.parameters.items():
        rows.append([name, p["value"], *([None, None] if name in result.fixed else [p["low"], p["high"]]),
                     "fixed" if name in result.fixed else None])  # fmt: skip
    output.result(f"{result.formula}, fitted to {result.rests_on}")
    output.result_table(["parameter", "value", "low", "high", ""], rows)
    if result.frontier:
        _print_models("The best model for its compute", result.frontier)
    if result.predictions:
        _print_models("Predicted", result.predictions)
    if (residuals := result.residuals) is not None:
        largest = ", ".join(f"{row['name']} {row['percent']:+.2g} %" for row in residuals["largest"])
        output.result(f"Residuals: {residuals['typical']:.2g} % of the loss, typically; the largest: {largest}")
    if any(row[BEYOND] for row in (*result.frontier, *result.predictions)):
        output.result(
            f"{BEYOND}: an extrapolation, so many times the largest value of the fitted points, or the smallest."
        )
    if result.no_interval is None:
        output.result(f"low … high: {100 * result.confidence:g} % intervals, from the bootstrap.")
    else:
        output.result(f"No intervals: {result.no_interval}.")


def _print_models(title: str, models: Sequence[dict[str, Any]]) -> None:
    """Print a table with each value beside its interval."""
    names = list(dict.fromkeys(name for row in models for name in row if not name.endswith(("_low", "_high"))))
    rows = [[_with_interval(row, name) if name in row else None for name in names] for row in models]
    output.result_table(names, rows, title=title)


def print_slopes(result: Slopes) -> None:
    """Print slopes, the ranking in each region, and the crossings."""
    _print_rows("Slopes of straight lines", result.rows, {
        "architecture": "architecture", "pair": "pair", "slope of": "y_axis", "against": "x_axis", "points": "points",
        "slope": _interval("slope"), "its error": "slope_se", "R²": "r_squared", "bends, p": "curvature_p",
        "reason": "reason",
    })  # fmt: skip
    if result.no_ranking is not None:
        output.result(f"No ranking over compute: {result.no_ranking}")
        return
    _print_rows("Ranking by the lines against log10 FLOPs, at each centre", result.ranking, {
        "quality": "quality", "FLOPs": lambda r: f"{r['flops_low']:.3g} … {r['flops_high']:.3g}",
        "centre": "flops_centre", "rank": "rank", "architecture": "architecture", "value": _interval("value"),
        "ahead of the next by": _interval("gap"), "points in it": "points_in_region", "reason": "reason",
    })  # fmt: skip
    if result.crossings:
        _print_rows("Where the order of two changes", result.crossings, {
            "quality": "quality", "better below": "best_below", "better above": "best_above",
            "FLOPs of the crossing": _interval("flops"), "sure": _yes_or_no("sure"), "reason": "reason",
        })  # fmt: skip
    else:
        ranked = {r["architecture"] for r in result.ranking if r["rank"] is not None}
        order = "the order changes nowhere" if len(ranked) > 1 else "there is no order of two"
        output.result(f"No two lines cross within the compute that both have: {order}.")


def print_pareto(result: Pareto) -> None:
    """Print the frontier, upstream against downstream, reversals, and the effect of depth."""
    columns = [*(cost.name for cost in result.costs), *(quality.name for quality in result.qualities)]
    _print_rows("The frontier of all columns at once", result.rows, {
        "point": "point", **{name: name for name in columns}, "frontier": _yes_or_no("frontier"),
        "dominated by": "dominated_by", "dominators": "dominators", "same as": "same_as", "reason": "reason",
    })  # fmt: skip
    if len(result.frontiers) > 1:
        _print_rows("Each pair", result.frontiers, {
            "cost": "cost", "quality": "quality", "points": "points",
            "frontier, cheapest first": lambda r: ", ".join(r["frontier"]),
        })  # fmt: skip
    _print_rows("Rank correlation of upstream and downstream (intervals: Fisher's z)", result.correlations, {
        "upstream": "upstream", "downstream": "downstream", "points": "points", "Spearman": _interval("spearman"),
        "Kendall": _interval("kendall"), "pairs": "pairs", "reverse": "reversals", "beyond noise": "beyond_noise",
        "reason": "reason",
    })  # fmt: skip
    if result.reversals:
        _print_rows("Pairs that reverse", result.reversals[:MAX_REVERSALS], {
            "better upstream": "better_upstream", "better downstream": "better_downstream",
            "upstream": _both("upstream"), "downstream": _both("downstream"),
            "within noise": lambda r: _yes_or_no("within_noise")(r) or "unknown",
            "on all downstream": _yes_or_no("on_all"),
        })  # fmt: skip
    if len(result.reversals) > MAX_REVERSALS:
        output.result(f"{len(result.reversals) - MAX_REVERSALS} more reversals; --json has all")
    _print_rows("Depth against width", result.shapes, {
        "at equal": "cost", "quality": "quality", "verdict": "verdict",
        "change where d_model/layers halves": _interval("effect"), "points": "points", "equal pairs": "pairs",
        "deeper better in": "deeper_better", "reason": "reason",
    })  # fmt: skip


def _print_rows(title: str, rows: Sequence[Row], cells: Cells) -> None:
    """Print a table.

    Args:
        title: of the table.
        rows: the rows.
        cells: by heading, the key of a value in a row, or a function that returns it from the row.
    """
    values = [[cell(row) if callable(cell) else row[cell] for cell in cells.values()] for row in rows]
    output.result_table(list(cells), values, title=title)


def _with_interval(row: Row, name: str) -> str:
    return output.format_interval(row[name], row.get(f"{name}_low"), row.get(f"{name}_high"))


def _interval(name: str) -> Callable[[Row], str | None]:
    """Return a function that formats a value with its interval; None where there is no value."""
    return lambda row: None if row[name] is None else _with_interval(row, name)


def _both(name: str) -> Callable[[Row], str]:
    """Return a function that formats a column of quality with the values of both models."""
    return lambda row: f"{row[name]} {' against '.join(map(output.format_cell, row[f'{name}_values']))}"


def _yes_or_no(name: str) -> Callable[[Row], str | None]:
    """Return a function that formats a truth value; None where it is unknown."""
    return lambda row: {True: "yes", False: "no", None: None}[row[name]]
