"""Compare models by cost and quality: the Pareto frontier, upstream and downstream, depth and width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from degen.arrays import Floats
from degen.errors import DegenError
from degen.readers.source_summary import SourceSummary
from degen.scaling.column_names import column_of
from degen.scaling.points import Points, Warn
from degen.scaling.quantities import ALIASES, SECONDS, TEXTS
from degen.tables import Column, Row, schema_of

from .columns import Cost, Quality, architecture_column, architectures, find_costs
from .depth_width import compare_shapes, read_shapes
from .options import NO_DOWNSTREAM, NO_UPSTREAM, CompareOptions, check_confidence, find_qualities, source_columns
from .pareto import RESULT_COLUMNS, find_frontier, find_pair_frontiers
from .reversals import CORRELATION_COLUMNS, correlate, find_reversals

if TYPE_CHECKING:
    import pyarrow as pa

NO_COST = "no column of cost (parameters, flops, seconds), so there is no frontier; name it with --cost"


@dataclass(frozen=True, eq=False)
class Pareto:
    """The result of `degen scaling pareto`.

    Attributes:
        rows: a row for every point; see `find_frontier`.
        frontiers: a row for each pair of a cost and a quality, with the frontier of these two alone.
        correlations: of upstream with downstream; see `correlate`.
        reversals: pairs that are better upstream and worse downstream; see `find_reversals`.
        shapes: the effect of depth at equal cost; see `compare_shapes`.
        names: of the points, for the figure.
        costs: the columns of cost.
        qualities: the columns of quality.
        values: the values of upstream and downstream by column, for the figure.
        source: what was understood of the table.
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
    source: SourceSummary

    def document(self) -> Row:
        """Return the result for a JSON document."""
        return {
            "source": self.source.as_dict(),
            **{name: getattr(self, name) for name in ("rows", "frontiers", "correlations", "reversals", "shapes")},
        }

    def table(self) -> pa.Table:
        """Return `rows`, one for every point, as a pyarrow table."""
        import pyarrow as pa

        columns = [
            Column("point", "string", "", "name of the point"),
            *(Column(cost.name, "float64", "", "cost: lower is better") for cost in self.costs),
            *(
                Column(q.name, "float64", "", f"quality: {'lower' if q.better == 'min' else 'higher'} is better")
                for q in self.qualities
            ),
            Column("frontier", "bool", "", "whether nothing dominates it; null where a value is missing"),
            Column("dominated_by", "string", "", "the nearest point of the frontier that dominates it"),
            Column("dominators", "int64", "", "points that dominate it"),
            Column("same_as", "string", "", "an earlier point that is equal in all columns"),
            Column("reason", "string", "", "why it cannot be compared"),
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
    """Return the frontier, rank correlations and reversals of upstream and downstream, and the effect of depth.

    Args:
        points: the models, from `read_points`.
        options: columns, directions and confidence.
        costs: columns of cost; empty for those of parameters, FLOPs and seconds that the table has.
        qualities: columns of quality for the frontier; empty for upstream and downstream.
        equal: two costs count as equal up to a ratio of 1 + `equal`, where shapes are compared.
        warn: called with each warning.

    Raises:
        DegenError: a column is missing, there is no quality, or fewer than two points have all values.
    """
    check_confidence(options.confidence)
    upstream, downstream, named = find_qualities(points, options, warn, qualities)
    names, compared = list(points.names), ([upstream] if upstream else []) + downstream
    good = named or compared
    if not good:
        raise DegenError(f"{points.path}: no column of quality; name it with --quality, --upstream or --downstream")
    paid = find_costs(points, costs)
    if paid:
        rows = find_frontier(names, paid, good)
        if count := sum(row["frontier"] is None for row in rows):
            warn(f"{points.path}: rows left out of the frontier, because values are missing or infinite: {count}")
    else:
        warn(f"{points.path}: {NO_COST}")
        blank: Row = {**dict.fromkeys(RESULT_COLUMNS[1:]), "reason": NO_COST}
        rows = [{"point": name, **{q.name: float(q.values[i]) for q in good}, **blank} for i, name in enumerate(names)]
    listed, correlations = [], [_no_correlation(upstream, downstream)]
    if upstream and downstream:
        reversals = find_reversals(names, upstream, downstream, options.confidence)
        listed, correlations = reversals.rows(), correlate(reversals, options.confidence)
        if reversals.count > len(listed):
            warn(
                f"{points.path}: there are {reversals.count} reversals, of which only the {len(listed)} largest are "
                "listed; the counts include all"
            )
    column = architecture_column(points, options.architecture, or_model=False)
    labels = architectures(points, column) if column is not None else None
    shapes = compare_shapes(read_shapes(points), paid, good, labels, equal, options.confidence)
    frontiers = find_pair_frontiers(names, paid, good)
    values = {q.name: q.values for q in compared}
    return Pareto(rows, frontiers, correlations, listed, shapes, names, paid, good, values,
                  _source(points, column, paid, upstream, downstream, named))  # fmt: skip


def _source(
    points: Points,
    architecture: str | None,
    costs: Sequence[Cost],
    upstream: Quality | None,
    downstream: Sequence[Quality],
    named: Sequence[Quality],
) -> SourceSummary:
    """Return what was understood of the table.

    Args:
        points: the models.
        architecture: the column of architectures; None without one.
        costs: the columns of cost.
        upstream: the column of upstream quality; None without one.
        downstream: the columns of downstream quality.
        named: the columns of quality that the user named for the frontier.
    """
    paid = {}
    for cost in costs:
        if cost.name in ALIASES and cost.name not in TEXTS:
            paid[cost.name] = points.origin(cost.name)
        else:
            paid["seconds" if column_of(SECONDS, [cost.name]) else f"cost {cost.name}"] = cost.name
    columns = source_columns(points, architecture, paid, upstream, downstream)
    if named:
        columns["quality"] = ", ".join(quality.name for quality in named)
    return points.summary(columns)


def _no_correlation(upstream: Quality | None, downstream: Sequence[Quality]) -> Row:
    """Return the only row of correlations where upstream or downstream quality is missing; it holds the reason."""
    return {
        **dict.fromkeys(CORRELATION_COLUMNS),
        "upstream": upstream.name if upstream else None,
        "downstream": downstream[0].name if downstream else None,
        "points": 0,
        "reason": NO_UPSTREAM if upstream is None else NO_DOWNSTREAM,
    }
