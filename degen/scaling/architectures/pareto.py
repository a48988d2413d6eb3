"""The Pareto frontier: the models that no other model beats in every cost and quality at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from degen.arrays import Floats, Mask
from degen.errors import DegenError
from degen.tables import Row

from .columns import Cost, Quality

RESULT_COLUMNS = ("point", "frontier", "dominated_by", "dominators", "same_as", "reason")


def dominators(values: Floats, row: int) -> Mask:
    """Return a mask of the points that dominate the point `row`: worse in no column and better in at least one.

    Args:
        values: points × columns, lower is better in each, none missing.
        row: index of that point. A point equal to it does not dominate it.
    """
    mask: Mask = (values <= values[row]).all(axis=1) & (values < values[row]).any(axis=1)
    return mask


def frontier(values: Floats) -> Mask:
    """Return a mask of the points that no other point dominates.

    Args:
        values: points × columns, lower is better in each, none missing.
    """
    return np.array([not dominators(values, row).any() for row in range(len(values))], dtype=bool)


def find_frontier(names: Sequence[str], costs: Sequence[Cost], qualities: Sequence[Quality]) -> list[Row]:
    """Return a row for every point, which says whether it is on the frontier, or else by which point it is dominated.

    Of the points of the frontier that dominate it, a row names the nearest: the one with the smallest difference in
    rank, summed over the columns. Because ranks are used, units and logarithms make no difference.

    Args:
        names: names of the points.
        costs: columns of which lower is better, at least one.
        qualities: columns with their direction, at least one.

    Returns:
        A row for each point, in the order of the table: `point`, the values of the columns, `frontier` (None where a
        value is missing), `dominated_by`, `dominators` (their number), `same_as` (an earlier point with equal values),
        `reason`.

    Raises:
        DegenError: fewer than two points have all values, a column is both cost and quality, or a column has the name
            of a column of the result.
    """
    columns: list[Cost | Quality] = [*costs, *qualities]
    _check(costs, qualities)
    values = np.stack([column.values for column in columns], axis=1)
    lower_is_better = np.stack([*(cost.values for cost in costs), *(-quality.good for quality in qualities)], axis=1)
    complete = np.flatnonzero(np.isfinite(lower_is_better).all(axis=1))
    if len(complete) < 2:
        listed = " and ".join(column.name for column in columns)
        raise DegenError(
            f"a frontier needs at least 2 points that have {listed}, and there are {len(complete)}; name other columns "
            "or fill in missing values"
        )
    known = lower_is_better[complete]
    ranks = np.stack([dense_ranks(column) for column in known.T], axis=1)
    best = frontier(known)
    index = {int(row): i for i, row in enumerate(complete)}
    rows = []
    for i, name in enumerate(names):
        cells = {c.name: float(v) if np.isfinite(v) else None for c, v in zip(columns, values[i], strict=True)}
        row: Row = {"point": name, **cells, **dict.fromkeys(RESULT_COLUMNS[1:])}
        if i in index:
            row |= _dominance(index[i], known, ranks, best, [names[int(j)] for j in complete])
        else:
            missing = [name for name, value in cells.items() if value is None]
            row["reason"] = f"{' and '.join(missing)} missing"
        rows.append(row)
    return rows


def find_pair_frontiers(names: Sequence[str], costs: Sequence[Cost], qualities: Sequence[Quality]) -> list[Row]:
    """Return the frontier of each cost with each quality alone, its points listed from the cheapest on.

    Returns:
        A row for each pair: `cost`, `quality`, `points` that have both, `frontier` (names).
    """
    rows: list[Row] = []
    for cost in costs:
        for quality in qualities:
            known = np.flatnonzero(np.isfinite(cost.values) & np.isfinite(quality.good))
            best = known[frontier(np.stack([cost.values[known], -quality.good[known]], axis=1))]
            best = best[np.argsort(cost.values[best], kind="stable")]
            row = {"cost": cost.name, "quality": quality.name, "points": len(known)}
            rows.append(row | {"frontier": [names[i] for i in best]})
    return rows


def _check(costs: Sequence[Cost], qualities: Sequence[Quality]) -> None:
    """Refuse costs and qualities of which there are none, that overlap, or that have the name of a result column."""
    if not costs or not qualities:
        raise DegenError("a frontier needs a column of cost and one of quality; name them with --cost and --quality")
    both = next((cost.name for cost in costs if cost.name in {quality.name for quality in qualities}), None)
    if both is not None:
        raise DegenError(f"--cost {both}: this column is named as quality, too; name it only once")
    names = [*(cost.name for cost in costs), *(quality.name for quality in qualities)]
    taken = next((name for name in names if name in RESULT_COLUMNS), None)
    if taken is not None:
        raise DegenError(
            f"the name of column {taken!r} is taken by a column of the result ({', '.join(RESULT_COLUMNS)}); rename it"
        )


def dense_ranks(values: Floats) -> Floats:
    """Return the rank of each value in ascending order from 0, equal values having the same rank."""
    return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.float64)


def _dominance(i: int, known: Floats, ranks: Floats, best: Mask, names: Sequence[str]) -> Row:
    """Return the columns of the result for the point with index `i` among the points that have all values.

    Args:
        i: the index.
        known: the values, points × columns, lower is better in each.
        ranks: the rank of each value in its column.
        best: a mask of the points on the frontier.
        names: names of the points.
    """
    dominating = dominators(known, i)
    equal = np.flatnonzero((known[:i] == known[i]).all(axis=1))
    near = np.flatnonzero(dominating & best)
    nearest = int(near[np.argmin((ranks[i] - ranks[near]).sum(axis=1))]) if len(near) else None
    return {
        "frontier": bool(best[i]),
        "dominated_by": names[nearest] if nearest is not None else None,
        "dominators": int(dominating.sum()),
        "same_as": names[int(equal[0])] if len(equal) else None,
    }
