"""What `degen scaling` shows on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import output

if TYPE_CHECKING:
    from degen.scaling.architectures.families import Slopes
    from degen.scaling.architectures.pareto_report import Pareto
    from degen.scaling.result import FitResult
    from degen.tables import Row

SHOWN = 20  # reversals that a terminal shows; --json has all


def print_fit(answer: FitResult) -> None:
    """Print the parameters of a law, its frontier and its predictions."""
    rows = []
    for name, p in answer.parameters.items():
        rows.append([name, p["value"], *([None, None] if name in answer.fixed else [p["low"], p["high"]]),
                     "fixed" if name in answer.fixed else None])  # fmt: skip
    output.result(f"{answer.formula}, fitted to {answer.rests_on}")
    output.result_table(["parameter", "value", "low", "high", ""], rows)
    if answer.frontier:
        _print_models("The best model for its compute", answer.frontier)
    if answer.predictions:
        _print_models("Predicted", answer.predictions)
    if answer.no_interval is None:
        output.result(f"low … high: {100 * answer.confidence:g} % intervals, from the bootstrap.")
    else:
        output.result(f"No intervals: {answer.no_interval}.")


def _print_models(title: str, models: Sequence[dict[str, Any]]) -> None:
    """Print a table with each value beside its interval."""
    names = list(dict.fromkeys(name for row in models for name in row if not name.endswith(("_low", "_high"))))
    rows = [[_with_interval(row, name) if name in row else None for name in names] for row in models]
    output.result_table(names, rows, title=title)


def print_slopes(answer: Slopes) -> None:
    """Print slopes, the ranking in each region, and where it changes."""
    lines = [
        [r["architecture"], r["pair"], r["y_axis"], r["x_axis"], r["points"], _between(r, "slope"), r["slope_se"],
         r["r_squared"], r["curvature_p"], r["reason"]]
        for r in answer.rows
    ]  # fmt: skip
    heads = ["architecture", "pair", "slope of", "against", "points", "slope", "its error", "R²", "bends, p", "reason"]
    output.result_table(heads, lines, title="Slopes of straight lines")
    if answer.no_ranking is not None:
        output.result(f"No ranking over compute: {answer.no_ranking}")
        return
    ranks = [
        [r["quality"], f"{r['flops_low']:.3g} … {r['flops_high']:.3g}", r["flops_centre"], r["rank"], r["architecture"],
         _between(r, "value"), _between(r, "gap"), r["points_in_region"], r["reason"]]
        for r in answer.ranking
    ]  # fmt: skip
    heads = ["quality", "FLOPs", "centre", "rank", "architecture", "value", "ahead of the next by", "points in it"]
    output.result_table([*heads, "reason"], ranks, title="Ranking by the lines against log10 FLOPs, at each centre")
    crossings = [
        [r["quality"], r["best_below"], r["best_above"], _between(r, "flops"), "yes" if r["sure"] else "no",
         r["reason"]]
        for r in answer.crossings
    ]  # fmt: skip
    if crossings:
        heads = ["quality", "better below", "better above", "FLOPs of the crossing", "sure", "reason"]
        output.result_table(heads, crossings, title="Where the order of two changes")
    else:
        ranked = {r["architecture"] for r in answer.ranking if r["rank"] is not None}
        order = "the order changes nowhere" if len(ranked) > 1 else "there is no order of two"
        output.result(f"No two lines cross within the compute that both have: {order}.")


def print_pareto(answer: Pareto) -> None:
    """Print the frontier, upstream against downstream, what reverses, and shapes."""
    columns = [*(cost.name for cost in answer.costs), *(quality.name for quality in answer.qualities)]
    points = [
        [r["point"], *(r[c] for c in columns), _yes(r["frontier"]), r["dominated_by"], r["dominators"], r["same_as"],
         r["reason"]]
        for r in answer.rows
    ]  # fmt: skip
    heads = ["point", *columns, "frontier", "dominated by", "dominators", "same as", "reason"]
    output.result_table(heads, points, title="The frontier of all columns at once")
    if len(answer.frontiers) > 1:
        each = [[r["cost"], r["quality"], r["points"], ", ".join(r["frontier"])] for r in answer.frontiers]
        output.result_table(["cost", "quality", "points", "frontier, cheapest first"], each, title="Each pair")
    correlations = [
        [r["upstream"], r["downstream"], r["points"], _between(r, "spearman"), _between(r, "kendall"), r["pairs"],
         r["reversals"], r["beyond_noise"], r["reason"]]
        for r in answer.correlations
    ]  # fmt: skip
    heads = ["upstream", "downstream", "points", "Spearman", "Kendall", "pairs", "reverse", "beyond noise", "reason"]
    output.result_table(
        heads, correlations, title="Rank correlation of upstream and downstream (intervals: Fisher's z)"
    )
    _print_reversals(answer.reversals)
    shapes = [
        [r["cost"], r["quality"], r["verdict"], _between(r, "effect"), r["points"], r["pairs"], r["deeper_better"],
         r["reason"]]
        for r in answer.shapes
    ]  # fmt: skip
    heads = ["at equal", "quality", "verdict", "change where d_model/layers halves", "points", "equal pairs"]
    output.result_table([*heads, "deeper better in", "reason"], shapes, title="Depth against width")


def _print_reversals(reversals: Sequence[Row]) -> None:
    if not reversals:
        return
    noise = {True: "yes", False: "no", None: "unknown"}
    rows = [
        [r["better_upstream"], r["better_downstream"], f"{r['upstream']} {_two(r['upstream_values'])}",
         f"{r['downstream']} {_two(r['downstream_values'])}", noise[r["within_noise"]], "yes" if r["on_all"] else "no"]
        for r in reversals[:SHOWN]
    ]  # fmt: skip
    heads = ["better upstream", "better downstream", "upstream", "downstream", "within noise", "on all downstream"]
    output.result_table(heads, rows, title="Pairs that reverse")
    if len(reversals) > SHOWN:
        output.result(f"{len(reversals) - SHOWN} more reversals; --json has all")


def _with_interval(row: Row, name: str) -> str:
    return output.format_interval(row[name], row.get(f"{name}_low"), row.get(f"{name}_high"))


def _between(row: Row, name: str) -> str | None:
    """Return a value with its interval, None where there is none."""
    return None if row[name] is None else _with_interval(row, name)


def _two(values: Sequence[Any]) -> str:
    return " against ".join(output.format_cell(value) for value in values)


def _yes(answer: bool | None) -> str | None:
    return None if answer is None else "yes" if answer else "no"
