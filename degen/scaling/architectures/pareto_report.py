"""What a cost buys: the Pareto frontier, upstream against downstream, depth against width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from degen.arrays import Floats
from degen.errors import DegenError
from degen.metrics.curve import Better
from degen.scaling.points import Points, Warn
from degen.tables import Column, Row, schema_of

from .columns import Cost, Quality, architectures, find_costs
from .depth_width import compare_shapes, read_shapes
from .options import NO_DOWNSTREAM, NO_UPSTREAM, CompareOptions, check_confidence, find_qualities
from .pareto import find_frontier, find_pair_frontiers
from .reversals import correlate, find_reversals

if TYPE_CHECKING:
    import pyarrow as pa

NO_COST = "no column of cost (parameters, flops, seconds), so there is no frontier; name it with --cost"


@dataclass(frozen=True, eq=False)
class Pareto:
    """What `degen scaling pareto` found.

    Attributes:
        rows: every point, on the frontier or dominated; see `find_frontier`.
        frontiers: the frontier of each cost with each quality alone.
        correlations: of upstream with downstream; see `correlate`.
        reversals: pairs that are better upstream and worse downstream; see `find_reversals`.
        shapes: the effect of depth at equal cost; see `compare_shapes`.
        names: of the points, for the figure.
        costs: the columns of cost.
        qualities: the columns of quality.
        values: the values of upstream and downstream by column, for the figure.
    """

    rows: list[Row]
    frontiers: list[Row]
    correlations: list[Row]
    reversals: list[Row]
    shapes: list[Row]
    names: list[str]
    costs: list[Cost]
    qualities: list[Quality]
    values: dict[str, Floats]

    def table(self) -> pa.Table:
        """Return the rows as a table."""
        import pyarrow as pa

        columns = [
            Column("point", "string", "", "name of the point"),
            *(Column(cost.name, "float64", "", "cost: lower is better") for cost in self.costs),
            *(Column(q.name, "float64", "", f"quality: {_words(q.better)} is better") for q in self.qualities),
            Column("frontier", "bool", "", "whether nothing dominates it; null where a value is missing"),
            Column("dominated_by", "string", "", "the nearest point of the frontier that dominates it"),
            Column("dominators", "int64", "", "points that dominate it"),
            Column("same_as", "string", "", "an earlier point that is equal in all columns"),
            Column("reason", "string", "", "why nothing is said of it"),
        ]
        return pa.Table.from_pylist(self.rows, schema=schema_of(columns))


def find_pareto(
    points: Points,
    options: CompareOptions,
    costs: Sequence[str] = (),
    qualities: Sequence[str] = (),
    equal: float = 0.1,
    warn: Warn = lambda line: None,
) -> Pareto:
    """Return the frontier, rank correlations and reversals of upstream and downstream, and depth against width.

    Args:
        points: of `read_points`.
        options: columns, directions and confidence.
        costs: columns of cost; empty for parameters, FLOPs and seconds, where they are.
        qualities: columns of quality for the frontier; empty for upstream and downstream.
        equal: costs within this share of each other are equal, where shapes are compared.
        warn: called with each warning.

    Raises:
        DegenError: a column that is missing, no quality at all, or fewer than two points that have all values.
    """
    check_confidence(options.confidence)
    upstream, downstream, good = find_qualities(points, options, warn, qualities)
    names = list(points.names)
    good = good or ([upstream] if upstream is not None else []) + downstream
    if not good:
        raise DegenError(f"{points.path}: no column of quality; name it with --quality, --upstream or --downstream")
    paid = find_costs(points, costs)
    if not paid:
        warn(f"{points.path}: {NO_COST}")
    rows = find_frontier(names, paid, good) if paid else _no_frontier(names, good)
    if paid and (count := sum(row["frontier"] is None for row in rows)):
        warn(f"{points.path}: rows left out of the frontier, as values are missing or infinite: {count}")
    reversals, correlations = [], [_no_correlation(upstream, downstream)]
    if upstream is not None and downstream:
        found = find_reversals(names, upstream, downstream, options.confidence)
        reversals, correlations = found.rows(), correlate(found, options.confidence)
        if found.count > len(reversals):
            warn(f"{points.path}: {found.count} reversals; the {len(reversals)} largest are listed, all are counted")
    labels = architectures(points, options.architecture, or_model=False)
    shapes = compare_shapes(read_shapes(points), paid, good, labels, equal, options.confidence)
    frontiers = find_pair_frontiers(names, paid, good)
    values = {q.name: q.values for q in ([upstream] if upstream is not None else []) + downstream}
    return Pareto(rows, frontiers, correlations, reversals, shapes, names, paid, good, values)


def _no_frontier(names: Sequence[str], qualities: Sequence[Quality]) -> list[Row]:
    blank: Row = dict.fromkeys(("frontier", "dominated_by", "dominators", "same_as"))
    values = [{q.name: float(q.values[i]) for q in qualities} for i in range(len(names))]
    return [{"point": name, **own, **blank, "reason": NO_COST} for name, own in zip(names, values, strict=True)]


def _no_correlation(upstream: Quality | None, downstream: Sequence[Quality]) -> Row:
    blank: Row = dict.fromkeys(
        ("spearman", "spearman_low", "spearman_high", "kendall", "kendall_low", "kendall_high", "pairs", "reversals")
    )
    name = upstream.name if upstream is not None else None
    reason = NO_UPSTREAM if upstream is None else NO_DOWNSTREAM
    head: Row = {"upstream": name, "downstream": downstream[0].name if downstream else None, "points": 0}
    return head | blank | {"beyond_noise": None, "reason": reason}


def _words(better: Better) -> str:
    return "lower" if better == "min" else "higher"
