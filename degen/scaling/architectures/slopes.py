"""Slopes of straight lines between cost, upstream and downstream quality, for each architecture."""

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
    Column("pair", "string", "", "quantities on the x and the y axis"),
    Column("x", "string", "", "column on the x axis"),
    Column("y", "string", "", "column on the y axis"),
    Column("axes", "string", "", "semi-log (x logarithmic), log-log, or linear"),
    Column("x_axis", "string", "", "values on the x axis"),
    Column("y_axis", "string", "", "values on the y axis"),
    Column("points", "int64", "", "points of the architecture that have both"),
    Column("slope", "float64", "y axis per x axis", "of the line of least squares"),
    Column("slope_se", "float64", "y axis per x axis", "standard error of the slope"),
    Column("slope_low", "float64", "y axis per x axis", "lower end of its t-interval, n - 2 degrees of freedom"),
    Column("slope_high", "float64", "y axis per x axis", "upper end of its t-interval"),
    Column("intercept", "float64", "y axis", "the line where the x axis is 0"),
    Column("r_squared", "float64", "", "share of the variance of y that the line explains"),
    Column("curvature_p", "float64", "", "p-value of a term of x squared beside the line: small where the points bend"),
    Column("reason", "string", "", "why there is no slope"),
)


@dataclass(frozen=True, eq=False)
class Quantity:
    """The values of one axis.

    Attributes:
        role: `flops`, `parameters`, `upstream` or `downstream`.
        name: name of the column; empty where the table has none.
        values: the value of each row, NaN where unknown; None where the table has no such column.
        missing: why the table has no such column; None where it has one.
    """

    role: Role
    name: str
    values: Floats | None
    missing: str = ""


def pairs_of(
    costs: Sequence[Quantity], upstream: Quantity, downstream: Sequence[Quantity]
) -> list[tuple[Quantity, Quantity]]:
    """Return the pairs (x, y) to fit lines to: each cost with upstream and downstream, and upstream with downstream.

    Source: Tay et al. 2022, Scaling Laws vs Model Architectures, arXiv 2207.10551.
    """
    pairs = [(cost, quality) for cost in costs for quality in (upstream, *downstream)]
    return pairs + [(upstream, quality) for quality in downstream]


def find_slopes(
    architectures: Sequence[str], pairs: Sequence[tuple[Quantity, Quantity]], confidence: float = 0.9
) -> list[Row]:
    """Return the slope of a line for each architecture, pair of quantities and kind of axes.

    Formula: semi-log: y = a + b·log₁₀ x. log-log: log₁₀ y = a + b·log₁₀ x. b by least squares, b ± t·s/√Σ(x − x̄)²
    with n − 2 degrees of freedom. Upstream against downstream also has linear axes, y = a + b·x, as a loss is the
    logarithm of a perplexity already, and a negated loss has no logarithm.

    Args:
        architectures: the label of each row.
        pairs: x and y; see `pairs_of`.
        confidence: of the intervals.

    Returns:
        Rows with `COLUMNS`, architecture by architecture; a row without a slope has the reason.
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


def _row(label: str, x: Quantity, y: Quantity, axes: Axes, rows: Mask, confidence: float) -> Row:
    """Return the row of the result for the line through some rows, or with the reason why there is no line.

    Args:
        label: the architecture.
        x: the quantity on the x axis.
        y: the quantity on the y axis.
        axes: the kind of axes.
        rows: a mask of the architecture's rows.
        confidence: of the intervals.
    """
    row: Row = dict.fromkeys(column.name for column in COLUMNS)
    row |= {
        "architecture": label, "pair": f"{x.role}-{y.role}", "x": x.name or None, "y": y.name or None, "axes": axes,
        "x_axis": _axis(x, axes != "linear"), "y_axis": _axis(y, axes == "log-log"), "points": 0,
    }  # fmt: skip
    if x.values is None or y.values is None:
        return row | {"reason": x.missing or y.missing}
    known = np.isfinite(x.values) & np.isfinite(y.values) & rows
    x_values, y_values = x.values[known], y.values[known]
    row["points"] = len(x_values)
    obstacle = _no_logarithm(x, x_values, axes != "linear") or _no_logarithm(y, y_values, axes == "log-log")
    if obstacle is not None:
        return row | {"reason": obstacle}
    x_values = np.log10(x_values) if axes != "linear" else x_values
    y_values = np.log10(y_values) if axes == "log-log" else y_values
    obstacle = no_line(x_values, y_values)
    if obstacle is not None:
        return row | {"reason": obstacle.replace("one x", f"one value of {x.name}")}
    line = fit_line(x_values, y_values)
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
    """Return why values have no logarithm; None where they have, or where none is needed.

    Args:
        quantity: the quantity.
        values: its values.
        logarithmic: whether the axis is logarithmic.
    """
    count = int((values <= 0).sum())
    if not logarithmic or not count:
        return None
    hint = "; give the loss itself, not negated" if quantity.role == "upstream" and count == len(values) else ""
    return f"{quantity.name} is 0 or less at {count} of {len(values)} points and has no logarithm{hint}"
