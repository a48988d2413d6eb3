"""Compare architectures: their slopes, their ranking over compute, and the crossings at which it changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from degen.errors import DegenError
from degen.readers.source_summary import SourceSummary
from degen.scaling.points import Points, Warn
from degen.tables import Row, schema_of

from .columns import architecture_column, architectures, find_values
from .crossings import find_crossings
from .options import NO_DOWNSTREAM, NO_UPSTREAM, CompareOptions, check_confidence, find_qualities, source_columns
from .ranking import find_regions, fit_architecture_lines, rank_regions
from .slopes import COLUMNS, Quantity, Role, find_slopes, pairs_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Slopes:
    """The result of `degen scaling slopes`.

    Attributes:
        rows: a row for each architecture, pair of quantities and kind of axes; see `slopes.COLUMNS`.
        ranking: the architectures in each region of compute; see `rank_regions`.
        crossings: crossings of their lines; see `find_crossings`.
        no_ranking: why there is no ranking; None where there is one.
        labels: the architecture of each point, for the figure.
        pairs: x and y of the lines, for the figure.
        source: what was understood of the table.
    """

    rows: list[Row]
    ranking: list[Row]
    crossings: list[Row]
    no_ranking: str | None
    labels: list[str]
    pairs: list[tuple[Quantity, Quantity]]
    source: SourceSummary

    def document(self) -> Row:
        """Return the result for a JSON document."""
        return {
            "source": self.source.as_dict(),
            **{name: getattr(self, name) for name in ("rows", "ranking", "crossings")},
        }

    def table(self) -> pa.Table:
        """Return `rows` as a pyarrow table."""
        import pyarrow as pa

        return pa.Table.from_pylist(self.rows, schema=schema_of(COLUMNS))


def compare_architectures(
    points: Points, options: CompareOptions, regions: int | Sequence[float] = 4, warn: Warn = lambda line: None
) -> Slopes:
    """Return the slopes of every architecture, their ranking over compute, and where it changes.

    Args:
        points: the models, from `read_points`.
        options: columns, directions and confidence.
        regions: number of regions of compute, or their edges in FLOPs.
        warn: called with each warning.

    Raises:
        DegenError: a column is missing, or no architecture has enough points for a line.
    """
    check_confidence(options.confidence)
    column = architecture_column(points, options.architecture)
    labels = architectures(points, column) if column is not None else [points.path.name] * len(points)
    upstream, downstream, _ = find_qualities(points, options, warn)
    if upstream is None and not downstream:
        raise DegenError(f"{points.path}: {NO_UPSTREAM}, and {NO_DOWNSTREAM}")
    flops, size = _quantity(points, "flops"), _quantity(points, "parameters")
    up = Quantity("upstream", upstream.name, upstream.values) if upstream else _missing("upstream", NO_UPSTREAM)
    down = [Quantity("downstream", q.name, q.values) for q in downstream] or [_missing("downstream", NO_DOWNSTREAM)]
    pairs = pairs_of([flops, size], up, down)
    rows = find_slopes(labels, pairs, options.confidence)
    if all(row["slope"] is None for row in rows):
        raise DegenError(f"{points.path}: no line can be fitted; {_reason(rows)}")
    compute = flops.values if flops.values is not None else np.array([])
    compute_regions = find_regions(compute, regions)
    ranking, crossings = [], []
    for quality in ([upstream] if upstream else []) + downstream:
        if len(compute) and compute_regions:
            lines = fit_architecture_lines(labels, compute, quality.values)
            ranking += rank_regions(lines, compute_regions, quality, options.confidence)
            crossings += find_crossings(lines, compute_regions, quality, options.confidence)
    no_ranking = flops.missing or (None if compute_regions else "all points have one compute, which has no regions")
    costs: dict[str, str] = {q.role: points.origin(q.role) for q in (flops, size) if q.values is not None}
    source = points.summary(source_columns(points, column, costs, upstream, downstream))
    return Slopes(rows, ranking, crossings, no_ranking, labels, pairs, source)


def _quantity(points: Points, role: Role) -> Quantity:
    """Return the FLOPs or parameters of each row, with the reason where the table has none.

    Args:
        points: the models.
        role: `flops` or `parameters`.
    """
    if not points.has(role):
        also = ", nor columns of parameters and tokens to compute them as 6ND" if role == "flops" else ""
        return _missing(role, f"no column of {role}{also}; name it with --columns {role}=COLUMN")
    values = find_values(points, role)
    if np.isnan(values).all():
        also = ", because tokens are" if role == "flops" and "flops" not in points.columns else ""
        return _missing(role, f"{role} are missing in every row{also}; name another column with --columns")
    return Quantity(role, role, values)


def _missing(role: Role, reason: str) -> Quantity:
    return Quantity(role, "", None, reason)


def _reason(rows: Sequence[Row]) -> str:
    """Return why no line can be fitted: the reason in the row with most points, or else all columns that are missing.

    Args:
        rows: the rows of the result, none of which has a slope.
    """
    best = max(rows, key=lambda row: row["points"])
    if best["points"]:
        several = len({row["architecture"] for row in rows}) > 1
        hint = "; name the column of architectures with --architecture" if several else ""
        return f"{best['architecture']}: {best['reason']}{hint}"
    return "; ".join(dict.fromkeys(row["reason"] for row in rows if row["architecture"] == rows[0]["architecture"]))
