"""The tables that `degen scaling` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import output

if TYPE_CHECKING:
    from degen.scaling.architectures.families import Slopes
    from degen.scaling.architectures.pareto_report import Pareto
    from degen.scaling.architectures.shape_report import ShapeReport
    from degen.scaling.groups import ByGroup
    from degen.scaling.result import FitResult
    from degen.tables import Row

MAX_REVERSALS = 20  # that a terminal shows; --json has all
MAX_SAVINGS = 20

Cells = Mapping[str, str | Callable[["Row"], Any]]


def print_fits(results: Mapping[str, FitResult], by: str | None) -> None:
    """Print the parameters of laws, their frontiers and predictions.

    Args:
        results: value of the column `by` -> the law of its rows; a single law where that is None.
        by: the column whose values were fitted by themselves; None for one law.
    """
    from degen.scaling.data_range import BEYOND

    first = next(iter(results.values()))
    if by is None:
        output.result(f"{first.formula}, fitted to {first.rests_on}")
    else:
        parts = ", ".join(f"{value} ({result.rests_on})" for value, result in results.items())
        output.result(f"{first.formula}, fitted to each {by} by itself: {parts}")
    head = [] if by is None else [by]
    rows = []
    for value, result in results.items():
        for name, p in result.parameters.items():
            fixed = name in result.fixed
            ends = [None, None] if fixed else [p["low"], p["high"]]
            rows.append([*([value] * len(head)), name, p["value"], *ends, "fixed" if fixed else None])
    output.result_table([*head, "parameter", "value", "low", "high", ""], rows)
    for title, field in (("The best model for its compute", "frontier"), ("Predicted", "predictions")):
        models = [dict.fromkeys(head, v) | row for v, result in results.items() for row in getattr(result, field)]
        if models:
            _print_models(title, models)
    for value, result in results.items():
        _print_residuals(result, "" if by is None else f"{value}: ")
    if any(row[BEYOND] for result in results.values() for row in (*result.frontier, *result.predictions)):
        output.result(
            f"{BEYOND}: an extrapolation, so many times the largest value of the fitted points, or the smallest."
        )
    if any(result.no_interval is None for result in results.values()):
        output.result(f"low … high: {100 * first.confidence:g} % intervals, from the bootstrap.")
    reasons = {value: result.no_interval for value, result in results.items() if result.no_interval is not None}
    for reason in dict.fromkeys(reasons.values()):
        named = [] if len(reasons) == len(results) else [value for value in reasons if reasons[value] == reason]
        output.result(f"No intervals{' of ' if named else ''}{', '.join(named)}: {reason}.")


def _print_residuals(result: FitResult, head: str) -> None:
    """Print how far the points lie from the law, with `head` in front of the line; nothing where no rows are points."""
    if (residuals := result.residuals) is not None:
        largest = ", ".join(f"{row['name']} {row['percent']:+.2g} %" for row in residuals["largest"])
        output.result(f"{head}Residuals: typically {residuals['typical']:.2g} % of the loss; the largest {largest}.")


def _print_models(title: str, models: Sequence[dict[str, Any]]) -> None:
    """Print a table with each value beside its interval."""
    names = list(dict.fromkeys(name for row in models for name in row if not name.endswith(("_low", "_high"))))
    rows = [[_with_interval(row, name) if name in row else None for name in names] for row in models]
    output.result_table(names, rows, title=title)


def print_slopes(compared: ByGroup[Slopes]) -> None:
    """Print slopes, the ranking in each region, and the crossings."""
    by, ranking, crossings = compared.column, compared.rows(_list("ranking")), compared.rows(_list("crossings"))
    _print_rows("Slopes of straight lines", by, compared.rows(_list("rows")), {
        "architecture": "architecture", "pair": "pair", "slope of": "y_axis", "against": "x_axis", "points": "points",
        "slope": _interval("slope"), "its error": "slope_se", "R²": "r_squared", "bends, p": "curvature_p",
        "reason": "reason",
    })  # fmt: skip
    for value, result in compared.results.items():
        if result.no_ranking is not None:
            output.result(f"{value + ': ' if value else ''}No ranking over compute: {result.no_ranking}")
    if not ranking:
        return
    _print_rows("Ranking by the lines against log10 FLOPs, at each centre", by, ranking, {
        "quality": "quality", "FLOPs": lambda r: f"{r['flops_low']:.3g} … {r['flops_high']:.3g}",
        "centre": "flops_centre", "rank": "rank", "architecture": "architecture", "value": _interval("value"),
        "ahead of the next by": _interval("gap"), "points in it": "points_in_region", "reason": "reason",
    })  # fmt: skip
    if crossings:
        _print_rows("Where the order of two changes", by, crossings, {
            "quality": "quality", "better below": "best_below", "better above": "best_above",
            "FLOPs of the crossing": _interval("flops"), "sure": _yes_or_no("sure"), "reason": "reason",
        })  # fmt: skip
    else:
        ranked = {r["architecture"] for r in ranking if r["rank"] is not None}
        order = "the order changes nowhere" if len(ranked) > 1 else "there is no order of two"
        output.result(f"No two lines cross within the compute that both have: {order}.")


def print_pareto(compared: ByGroup[Pareto]) -> None:
    """Print the frontier, upstream against downstream, reversals, and the effect of depth."""
    by = compared.column
    columns = [cost.name for result in compared.results.values() for cost in result.costs]
    columns += [quality.name for result in compared.results.values() for quality in result.qualities]
    frontiers, reversals = compared.rows(_list("frontiers")), compared.rows(_list("reversals"))
    _print_rows("The frontier of all columns at once", by, compared.rows(_list("rows")), {
        "point": "point", **{name: name for name in columns}, "frontier": _yes_or_no("frontier"),
        "dominated by": "dominated_by", "dominators": "dominators", "same as": "same_as", "reason": "reason",
    })  # fmt: skip
    if len(frontiers) > 1:
        _print_rows("Each pair", by, frontiers, {
            "cost": "cost", "quality": "quality", "points": "points",
            "frontier, cheapest first": lambda r: ", ".join(r["frontier"]),
        })  # fmt: skip
    correlations = compared.rows(_list("correlations"))
    _print_rows("Rank correlation of upstream and downstream (intervals: Fisher's z)", by, correlations, {
        "upstream": "upstream", "downstream": "downstream", "points": "points", "Spearman": _interval("spearman"),
        "Kendall": _interval("kendall"), "pairs": "pairs", "reverse": "reversals", "beyond noise": "beyond_noise",
        "reason": "reason",
    })  # fmt: skip
    if reversals:
        _print_rows("Pairs that reverse", by, reversals[:MAX_REVERSALS], {
            "better upstream": "better_upstream", "better downstream": "better_downstream",
            "upstream": _both("upstream"), "downstream": _both("downstream"),
            "within noise": lambda r: _yes_or_no("within_noise")(r) or "unknown",
            "on all downstream": _yes_or_no("on_all"),
        })  # fmt: skip
    if len(reversals) > MAX_REVERSALS:
        output.result(f"{len(reversals) - MAX_REVERSALS} more reversals; --json has all")
    _print_rows("Depth against width", by, compared.rows(_list("shapes")), {
        "at equal": "cost", "quality": "quality", "verdict": "verdict",
        "change where d_model/layers halves": _interval("effect"), "points": "points", "equal pairs": "pairs",
        "deeper better in": "deeper_better", "reason": "reason",
    })  # fmt: skip


def print_shapes(compared: ByGroup[ShapeReport]) -> None:
    """Print what each knob buys, from where it stops paying, where qualities disagree about it, and the savings."""
    by = compared.column
    every = compared.rows(_list("rows")) + compared.rows(_list("turns"))
    head: dict[str, str | Callable[[Row], Any]] = {"knob": "knob"}
    if any(row["architecture"] is not None for row in every):
        head = {"architecture": "architecture", **head}
    effects, untold = _told(compared.rows(_list("rows")))
    _print_rows("What a knob buys: % of quality for 1 % more of it", by, effects, {
        **head, "quality": "quality", "at equal": "equal", "elasticity": _interval("elasticity"), "verdict": "verdict",
        "bends, p": "bends_p", "models": "models",
    })  # fmt: skip
    returns, _ = _told(compared.rows(_list("returns")), "per_cost")
    if returns:
        _print_rows("What a cost buys: % of quality for 1 % more of it, through one knob", by, returns, {
            **head, "quality": "quality", "cost": "cost", "gain": _interval("per_cost"),
        })  # fmt: skip
    turns = [row for row in compared.rows(_list("turns")) if row["verdict"] == "stops paying"]
    if turns:
        _print_rows("From where more of a knob stops paying", by, turns, {
            **head, "quality": "quality", "from": _interval("turn"), "elasticity below": "below",
            "above": _interval("above"),
        })  # fmt: skip
    elif any(row["p"] is not None for row in compared.rows(_list("turns"))):
        output.result("No knob is shown to stop paying within the values that the table has.")
    else:
        output.result("Whether a knob stops paying cannot be told: " + _reasons(compared.rows(_list("turns"))) + ".")
    disagreements = [row for row in compared.rows(_list("disagreements")) if "help" in row["verdict"]]
    if disagreements:
        _print_rows("Where upstream and downstream disagree", by, disagreements, {
            **head, "upstream": "upstream", "downstream": "downstream", "more of it": "verdict",
            "gain upstream": "upstream_gain", "gain downstream": "downstream_gain",
        })  # fmt: skip
    elif any(row["upstream_gain"] is not None for row in compared.rows(_list("disagreements"))):
        output.result("Upstream and downstream are not shown to disagree about a knob.")
    elif compared.rows(_list("disagreements")):
        output.result("Whether upstream and downstream disagree about a knob cannot be told.")
    savings = compared.rows(_list("savings"))
    if savings:
        _print_rows("The cheapest other model that is as good", by, savings[:MAX_SAVINGS], {
            "model": "model", "cost": "cost", "cheaper": "cheaper", "it takes": _shares,
            "gain upstream": "upstream_gain",
            "better on": lambda r: None if r["of"] is None else f"{r['better_on']} of {r['of']}",
            "probability": lambda r: "unknown" if r["probability"] is None else r["probability"],
        })  # fmt: skip
    if len(savings) > MAX_SAVINGS:
        output.result(f"{len(savings) - MAX_SAVINGS} more models that another saves on; --json has all")
    if untold:
        _print_rows("What the table cannot tell", by, untold, {
            **head, "quality": "quality", "at equal": "equal", "reason": "reason",
        })  # fmt: skip


def _told(rows: Sequence[Row], value: str = "elasticity") -> tuple[list[Row], list[Row]]:
    """Return the rows that have a value, and those that have none."""
    return [row for row in rows if row[value] is not None], [row for row in rows if row[value] is None]


def _reasons(rows: Sequence[Row]) -> str:
    """Return the different reasons of rows, the first three of them."""
    from degen.hints import some_names

    return some_names(dict.fromkeys(row["reason"] for row in rows)) or "no knob varies"


def _shares(row: Row) -> str:
    """Return which share of each cost the cheaper model takes."""
    return ", ".join(f"{share:.0%} of {name}" for name, share in row["shares"].items())


def _list(name: str) -> Callable[[Any], Sequence[Row]]:
    """Return a function that returns the rows that a result has under `name`."""
    return lambda result: getattr(result, name)


def _print_rows(title: str, by: str | None, rows: Sequence[Row], cells: Cells) -> None:
    """Print a table.

    Args:
        title: of the table.
        by: the column that says which group a row is of, in front; None without groups.
        rows: the rows.
        cells: by heading, the key of a value in a row, or a function that returns it from the row.
    """
    cells = cells if by is None else {by: by, **cells}
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
