"""Warnings of columns that may not hold the quantity they are named for: two columns of it, or other units."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from degen.readers.columns import is_numeric

from .points import Points
from .quantities import ALIASES, TEXTS, column_of

MAX_COMPUTE_RATIO = 30.0  # between compute and 6ND; a mixture of experts or long contexts make a smaller difference
MIN_PARAMETERS = 1e4  # smaller sizes are most likely counted in millions


def check_columns(points: Points, named: Mapping[str, str]) -> list[str]:
    """Return warnings, one text each, about quantities that may be read from the wrong column or in the wrong unit.

    Args:
        points: the rows of a table.
        named: quantity -> the column that the user named for it; these columns are not doubted.
    """
    warnings = []
    for quantity, column in points.columns.items():
        if quantity in TEXTS or quantity in named or not is_numeric(points.table, column):
            continue
        values = points.numbers(column)
        for other in _other_columns(points, quantity, column):
            differs = np.abs(points.numbers(other) - values) > 1e-6 * np.abs(values)
            if other not in named.values() and differs.any():
                warnings.append(
                    f"{points.path}: {quantity} is read from column {column!r}, but column {other!r} holds other "
                    f"values for it; use --columns {quantity}={other} to read that one"
                )
    ratio = _compute_ratio(points)
    if ratio is not None and not 1 / MAX_COMPUTE_RATIO <= ratio <= MAX_COMPUTE_RATIO:
        warnings.append(
            f"{points.path}: the compute of the median model is {ratio:.3g} times 6ND; if compute is in PF-days, use "
            "--columns pf_days=COLUMN; if parameters or tokens are in millions or billions, write the full numbers"
        )
    return warnings


def small_sizes(points: Points) -> list[str]:
    """Return a list with a warning where the sizes are so small that they are most likely in millions or billions.

    The list is empty where they are not.
    """
    median = float(np.median(points.parameters))
    if median >= MIN_PARAMETERS:
        return []
    return [
        f"the median model has {median:.3g} parameters; if that is in millions or billions, the best sizes are wrong: "
        "write parameters and tokens as full numbers"
    ]


def _other_columns(points: Points, quantity: str, column: str) -> list[str]:
    """Return the names of other numeric columns that are also called by a name of `quantity`.

    Args:
        points: the rows of a table.
        quantity: the quantity.
        column: the column from which it is read.
    """
    table = points.table
    others = [name for name in table.column_names if name != column and name not in points.columns.values()]
    return [name for name in others if column_of(ALIASES[quantity], [name]) and is_numeric(table, name)]


def _compute_ratio(points: Points) -> float | None:
    """Return the median of C/6ND over the rows; None where the table lacks a column for C, N or D."""
    columns = points.columns
    used = [columns.get("parameters"), columns.get("tokens"), columns.get("flops") or columns.get("pf_days")]
    if any(column is None or not is_numeric(points.table, column) for column in used):
        return None
    n, d, c = points.parameters, points.tokens, points.flops
    known = (n > 0) & (d > 0) & (c > 0) & np.isfinite(n * d * c)
    return float(np.median(c[known] / (6 * n[known] * d[known]))) if known.any() else None
