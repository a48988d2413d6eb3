"""How fast each architecture improves: slopes of straight lines between cost, upstream and downstream quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from degen.arrays import Floats, Mask
from degen.stats.linear_fit import fit_line, no_line
from degen.tables import Column, Row

Axes = Literal["semi-log", "log-log", "linear"]
Role = Literal["flops", "parameters", "upstream", "downstream"]

COLUMNS = (
    Column("architecture", "string", "", "label of the architecture"),
    Column("pair", "string", "", "what is drawn against what, x first"),
    Column("x", "string", "", "column on the x axis"),
    Column("y", "string", "", "column on the y axis"),
    Column("axes", "string", "", "semi-log (x logarithmic), log-log, or linear"),
    Column("x_axis", "string", "", "what the x axis counts"),
    Column("y_axis", "string", "", "what the y axis counts"),
    Column("points", "int64", "", "points of the architecture that have both"),
    Column("slope", "float64", "y axis per x axis", "of the line of least squares"),
    Column("slope_se", "float64", "y axis per x axis", "standard error of the slope"),
    Column("slope_low", "float64", "y axis per x axis", "lower end of its t-interval, n - 2 degrees of freedom"),
    Column("slope_high", "float64", "y axis per x axis", "upper end of its t-interval"),
    Column("intercept", "float64", "y axis", "the line where the x axis is 0"),
    Column("r_squared", "float64", "", "share of the variance of y that the line explains"),
    Column("curvature_p", "float64", "", "p-value of a term of x squared beside the line: small where it bends"),
    Column("reason", "string", "", "why there is no slope"),
)


@dataclass(frozen=True, eq=False)
class Quantity:
    """What one axis can show.

    Attributes:
        role: what it stands for among the four.
        name: of its column; empty where the table has none.
        values: for each row, NaN where unknown; None where the table has none.
        missing: why it is not there.
    """

    role: Role
    name: str
    values: Floats | None
    missing: str = ""


def pairs_of(
    costs: Sequence[Quantity], upstream: Quantity, downstream: Sequence[Quantity]
) -> list[tuple[Quantity, Quantity]]:
    """Return the pairs that slopes are asked of: each cost with upstream and downstream, and upstream with downstream.

    Source: Tay et al. 2022, Scaling Laws vs Model Architectures, arXiv 2207.10551.
    """
    found = [(cost, quality) for cost in costs for quality in (upstream, *downstream)]
    return found + [(upstream, quality) for quality in downstream]


def find_slopes(
    architectures: Sequence[str], pairs: Sequence[tuple[Quantity, Quantity]], confidence: float = 0.9
) -> list[Row]:
    """Return a line for each architecture, pair and kind of axes.

    Formula: semi-log: y = a + b·log₁₀ x. log-log: log₁₀ y = a + b·log₁₀ x. b by least squares, b ± t·s/√Σ(x − x̄)²
    with n − 2 degrees of freedom. Upstream against downstream also has linear axes, y = a + b·x: a loss is a logarithm
    already, that of a perplexity, and a negated one has none.

    Args:
        architectures: the label of each row.
        pairs: x and y; see `pairs_of`.
        confidence: of the intervals.

    Returns:
        Rows as `COLUMNS` has them, architecture by architecture; without a slope where there can be none, with the
        reason.
    """
    labels = np.array(architectures, dtype=object)
    rows = []
    for label in dict.fromkeys(architectures):
        for x, y in pairs:
            kinds: tuple[Axes, ...] = ("semi-log", "log-log")
            if x.role == "upstream":
                kinds = (*kinds, "linear")
            rows += [_row(label, x, y, axes, labels == label, confidence) for axes in kinds]
    return rows


def _row(label: str, x: Quantity, y: Quantity, axes: Axes, own: Mask, confidence: float) -> Row:
    row: Row = dict.fromkeys(column.name for column in COLUMNS)
    row |= {
        "architecture": label, "pair": f"{x.role}-{y.role}", "x": x.name or None, "y": y.name or None, "axes": axes,
        "x_axis": _axis(x, axes != "linear"), "y_axis": _axis(y, axes == "log-log"), "points": 0,
    }  # fmt: skip
    if x.values is None or y.values is None:
        return row | {"reason": x.missing or y.missing}
    known = np.isfinite(x.values) & np.isfinite(y.values) & own
    at, height = x.values[known], y.values[known]
    row["points"] = len(at)
    obstacle = _no_logarithm(x, at, axes != "linear") or _no_logarithm(y, height, axes == "log-log")
    if obstacle is not None:
        return row | {"reason": obstacle}
    at = np.log10(at) if axes != "linear" else at
    height = np.log10(height) if axes == "log-log" else height
    obstacle = no_line(at, height)
    if obstacle is not None:
        return row | {"reason": obstacle.replace("one x", f"one value of {x.name}")}
    line = fit_line(at, height)
    low, high = line.slope_interval(confidence)
    return row | {
        "slope": line.slope,
        "slope_se": line.slope_se,
        "slope_low": low,
        "slope_high": high,
        "intercept": line.intercept,
        "r_squared": line.r_squared,
        "curvature_p": line.curvature_p,
    }


def _axis(quantity: Quantity, logarithmic: bool) -> str:
    name = quantity.name or quantity.role
    return f"log10 {name}" if logarithmic else name


def _no_logarithm(quantity: Quantity, values: Floats, logarithmic: bool) -> str | None:
    """Return why values have no place on a logarithmic axis; None where they do, or where the axis is none."""
    count = int((values <= 0).sum())
    if not logarithmic or not count:
        return None
    hint = "; give the loss itself, not negated" if quantity.role == "upstream" and count == len(values) else ""
    return f"{quantity.name} is 0 or less at {count} of {len(values)} points and has no logarithm there{hint}"
