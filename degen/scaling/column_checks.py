"""What in a table may not mean what its columns are called: two columns of one quantity, other units."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from degen.metrics.columns import is_numeric

from .points import Points
from .quantities import ALIASES, TEXTS, column_of

MAX_COMPUTE_RATIO = (
    30.0  # times that compute may differ from 6ND, which a mixture of experts or long contexts do by less
)
MIN_PARAMETERS = 1e4  # parameters; models of fewer are most likely counted in millions


def check_columns(points: Points, asked: Mapping[str, str]) -> list[str]:
    """Return warnings of columns that a user did not name and that may be others than meant.

    Args:
        points: of a table.
        asked: the column of every quantity that a user named.
    """
    found = []
    for quantity, column in points.columns.items():
        if quantity in TEXTS or quantity in asked or not is_numeric(points.table, column):
            continue
        known = points.numbers(column)
        for other in _namesakes(points, quantity, column):
            apart = np.abs(points.numbers(other) - known) > 1e-6 * np.abs(known)
            if other not in asked.values() and apart.any():
                found.append(
                    f"{points.path}: {quantity} is the column {column!r}, though {other!r} differs from it; "
                    f"--columns {quantity}={other} takes that"
                )
    ratio = _compute_ratio(points)
    if ratio is not None and not 1 / MAX_COMPUTE_RATIO <= ratio <= MAX_COMPUTE_RATIO:
        found.append(
            f"{points.path}: compute is {ratio:.3g} times 6ND in the median; if it is in PF-days, say --columns "
            "pf_days=COLUMN, and count parameters and tokens one by one"
        )
    return found


def small_sizes(points: Points) -> list[str]:
    """Return a warning where parameters are so few that they are most likely counted in millions or billions."""
    usual = float(np.median(points.parameters))
    if usual >= MIN_PARAMETERS:
        return []
    return [
        f"parameters are {usual:.3g} in the median; if they are in millions or billions, the best models for FLOPs are "
        "wrong: count them one by one, and tokens, too"
    ]


def _namesakes(points: Points, quantity: str, column: str) -> list[str]:
    """Return other columns of numbers with a name of the same quantity."""
    table = points.table
    others = [name for name in table.column_names if name != column and name not in points.columns.values()]
    return [name for name in others if column_of(ALIASES[quantity], [name]) and is_numeric(table, name)]


def _compute_ratio(points: Points) -> float | None:
    """Return C/6ND where the table says all three, in the median; None where it does not."""
    columns = {name: points.columns.get(name) for name in ("parameters", "tokens", "flops", "pf_days")}
    compute = columns["flops"] or columns["pf_days"]
    own = [columns["parameters"], columns["tokens"], compute]
    if any(column is None or not is_numeric(points.table, column) for column in own):
        return None
    n, d, c = points.parameters, points.tokens, points.flops
    known = (n > 0) & (d > 0) & (c > 0) & np.isfinite(n * d * c)
    return float(np.median(c[known] / (6 * n[known] * d[known]))) if known.any() else None
