"""The Pareto frontier: which models no other one beats in every cost and quality at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from degen.arrays import Floats, Mask
from degen.errors import DegenError
from degen.tables import Row

from .columns import Cost, Quality

OWN = ("point", "frontier", "dominated_by", "dominators", "same_as", "reason")  # columns of the answer


def dominators(values: Floats, row: int) -> Mask:
    """Return which rows dominate one: nowhere worse, somewhere better.

    Args:
        values: points × columns, lower is better in each, none missing.
        row: the point that may be dominated.

    Returns:
        A mask of the points. Equal points do not dominate each other.
    """
    found: Mask = (values <= values[row]).all(axis=1) & (values < values[row]).any(axis=1)
    return found


def frontier(values: Floats) -> Mask:
    """Return which points nothing dominates; equal points are on it together, or not at all.

    Args:
        values: points × columns, lower is better in each, none missing.

    Returns:
        A mask of the points.
    """
    return np.array([not dominators(values, row).any() for row in range(len(values))], dtype=bool)


def find_frontier(names: Sequence[str], costs: Sequence[Cost], qualities: Sequence[Quality]) -> list[Row]:
    """Return every point: on the frontier, or dominated, and by which.

    A point is dominated by the nearest of those on the frontier that dominate it: of the fewest places between them in
    the orders of all columns, summed; so it does not depend on units, nor on logarithms.

    Args:
        names: of the points.
        costs: columns of which lower is better, at least one.
        qualities: columns with their direction, at least one.

    Returns:
        A row for each point, in the order of the table: `point`, the columns' values, `frontier` (null where a value is
        missing), `dominated_by`, `dominators` (how many), `same_as` (a point before it, equal in all), `reason`.

    Raises:
        DegenError: fewer than two points have all the values, a column is both cost and quality, or it is called as one
            of the answer's own.
    """
    columns: list[Cost | Quality] = [*costs, *qualities]
    _check(costs, qualities)
    shown = np.stack([column.values for column in columns], axis=1)
    turned = np.stack([*(cost.values for cost in costs), *(-quality.good for quality in qualities)], axis=1)
    at = np.flatnonzero(np.isfinite(turned).all(axis=1))
    if len(at) < 2:
        listed = " and ".join(column.name for column in columns)
        raise DegenError(f"a frontier needs 2 points that have {listed}, and there are {len(at)}; name other columns")
    known = turned[at]
    ranks = np.stack([dense_ranks(column) for column in known.T], axis=1)
    best = frontier(known)
    position = {int(row): i for i, row in enumerate(at)}
    rows = []
    for i, name in enumerate(names):
        values = {c.name: float(v) if np.isfinite(v) else None for c, v in zip(columns, shown[i], strict=True)}
        row: Row = {"point": name, **values, "frontier": None, "dominated_by": None, "dominators": None}
        row |= {"same_as": None, "reason": None}
        if i in position:
            row |= _standing(position[i], known, ranks, best, [names[int(j)] for j in at])
        else:
            missing = [name for name, value in values.items() if value is None]
            row["reason"] = f"{' and '.join(missing)} missing"
        rows.append(row)
    return rows


def find_pair_frontiers(names: Sequence[str], costs: Sequence[Cost], qualities: Sequence[Quality]) -> list[Row]:
    """Return the frontier of each cost with each quality alone, cheapest first.

    Returns:
        A row for each pair: `cost`, `quality`, `points` that have both, `frontier` (names).
    """
    rows: list[Row] = []
    for cost in costs:
        for quality in qualities:
            at = np.flatnonzero(np.isfinite(cost.values) & np.isfinite(quality.good))
            best = at[frontier(np.stack([cost.values[at], -quality.good[at]], axis=1))]
            best = best[np.argsort(cost.values[best], kind="stable")]
            row = {"cost": cost.name, "quality": quality.name, "points": len(at)}
            rows.append(row | {"frontier": [names[i] for i in best]})
    return rows


def _check(costs: Sequence[Cost], qualities: Sequence[Quality]) -> None:
    if not costs or not qualities:
        raise DegenError("a frontier needs a column of cost and one of quality; name them with --cost and --quality")
    both = next((cost.name for cost in costs if cost.name in {quality.name for quality in qualities}), None)
    if both is not None:
        raise DegenError(f"--cost {both}: is a column of quality, too; it can be one of the two")
    names = [*(cost.name for cost in costs), *(quality.name for quality in qualities)]
    taken = next((name for name in names if name in OWN), None)
    if taken is not None:
        raise DegenError(f"a column is called {taken!r}, as one of the answer's own ({', '.join(OWN)}); rename it")


def dense_ranks(values: Floats) -> Floats:
    """Return positions in ascending order from 0, one for all equal values."""
    return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.float64)


def _standing(i: int, known: Floats, ranks: Floats, best: Mask, names: Sequence[str]) -> Row:
    """Return the columns of one point among those that have all values."""
    over = dominators(known, i)
    equal = np.flatnonzero((known[:i] == known[i]).all(axis=1))
    near = np.flatnonzero(over & best)
    nearest = int(near[np.argmin((ranks[i] - ranks[near]).sum(axis=1))]) if len(near) else None
    return {
        "frontier": bool(best[i]),
        "dominated_by": names[nearest] if nearest is not None else None,
        "dominators": int(over.sum()),
        "same_as": names[int(equal[0])] if len(equal) else None,
    }
