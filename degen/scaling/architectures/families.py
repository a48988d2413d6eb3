"""How architectures compare: their slopes, their ranking over compute, and where it changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from degen.errors import DegenError
from degen.scaling.points import Points, Warn
from degen.tables import Row, schema_of

from .columns import architectures, find_values
from .crossings import find_crossings
from .options import NO_DOWNSTREAM, NO_UPSTREAM, CompareOptions, check_confidence, find_qualities
from .ranking import find_regions, fit_architecture_lines, rank_regions
from .slopes import COLUMNS, Quantity, Role, find_slopes, pairs_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Slopes:
    """What `degen scaling slopes` found.

    Attributes:
        rows: a line for each architecture, pair of quantities and kind of axes; see `slopes.COLUMNS`.
        ranking: the architectures in each region of compute; see `rank_regions`.
        crossings: where their order changes; see `find_crossings`.
        no_ranking: why there is no ranking; None where there is one.
        labels: the architecture of each point, for the figure.
        pairs: what the lines are drawn through, for the figure.
    """

    rows: list[Row]
    ranking: list[Row]
    crossings: list[Row]
    no_ranking: str | None
    labels: list[str]
    pairs: list[tuple[Quantity, Quantity]]

    def table(self) -> pa.Table:
        """Return the rows as a table."""
        import pyarrow as pa

        return pa.Table.from_pylist(self.rows, schema=schema_of(COLUMNS))


def compare_architectures(
    points: Points, options: CompareOptions, regions: int | Sequence[float] = 4, warn: Warn = lambda line: None
) -> Slopes:
    """Find slopes of every architecture, their ranking over compute, and where it changes.

    Args:
        points: of `read_points`.
        options: columns, directions and confidence.
        regions: of compute: how many, or their edges in FLOPs.
        warn: called with each warning.

    Raises:
        DegenError: a column that is missing, or nothing that a line can be drawn through.
    """
    check_confidence(options.confidence)
    labels = architectures(points, options.architecture) or [points.path.name] * len(points)
    upstream, downstream, _ = find_qualities(points, options, warn)
    if upstream is None and not downstream:
        raise DegenError(f"{points.path}: {NO_UPSTREAM}, and {NO_DOWNSTREAM}")
    flops, size = _quantity(points, "flops"), _quantity(points, "parameters")
    up = Quantity("upstream", upstream.name, upstream.values) if upstream is not None else _none("upstream")
    down = [Quantity("downstream", q.name, q.values) for q in downstream] or [_none("downstream")]
    pairs = pairs_of([flops, size], up, down)
    rows = find_slopes(labels, pairs, options.confidence)
    if all(row["slope"] is None for row in rows):
        raise DegenError(f"{points.path}: no slope can be told; {_why(rows)}")
    found = find_regions(flops.values if flops.values is not None else np.array([]), regions)
    ranking, crossings = [], []
    for quality in ([upstream] if upstream is not None else []) + downstream:
        if flops.values is not None and found:
            lines = fit_architecture_lines(labels, flops.values, quality.values)
            ranking += rank_regions(lines, found, quality, options.confidence)
            crossings += find_crossings(lines, found, quality, options.confidence)
    no_ranking = flops.missing or (None if found else "all points lie at one compute, which has no regions")
    return Slopes(rows, ranking, crossings, no_ranking, labels, pairs)


def _quantity(points: Points, role: Role) -> Quantity:
    if not points.has(role):
        also = ", nor parameters and tokens to have it from 6ND" if role == "flops" else ""
        return Quantity(role, "", None, f"no column of {role}{also}; name it with --columns {role}=COLUMN")
    values = find_values(points, role)
    if np.isnan(values).all():
        also = ", for want of tokens" if role == "flops" and "flops" not in points.columns else ""
        return Quantity(role, "", None, f"{role} known in no row{also}; name another column with --columns")
    return Quantity(role, role, values)


def _none(role: Role) -> Quantity:
    return Quantity(role, "", None, NO_UPSTREAM if role == "upstream" else NO_DOWNSTREAM)


def _why(rows: Sequence[Row]) -> str:
    """Return why no line can be drawn: where there are most points, or else all that is missing."""
    nearest = max(rows, key=lambda row: row["points"])
    if nearest["points"]:
        several = len({row["architecture"] for row in rows}) > 1
        hint = "; name the column that tells architectures apart with --architecture" if several else ""
        return f"{nearest['architecture']}: {nearest['reason']}{hint}"
    return "; ".join(dict.fromkeys(row["reason"] for row in rows if row["architecture"] == rows[0]["architecture"]))
