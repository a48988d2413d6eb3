"""What the LM head loses at restricted rank: loss above the full head, and W-error, against rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from degen.errors import DegenError
from degen.stats.quantiles import two_sided
from degen.tables import Row

from .figure import VALUES, Figure, specification
from .packages import import_altair
from .style import HEIGHT, ONLY_VISIBLE, by_model, visible_models

GAP_TITLE, GAP_AXIS = "Loss above the full head", "loss above the full head (nats/token)"
LINEAR_BELOW = 0.01  # nats: below it the axis of gaps is linear, as a gap may be 0 or negative


def rank_curves(
    name: str,
    title: str,
    axis: str,
    rows: Sequence[Row],
    models: Sequence[str],
    description: str,
    *,
    gaps: bool,
    among: Sequence[str] = (),
) -> Figure:
    """Return the figure of a quantity against the rank of the head, a line for each label in the column `model`.

    Args:
        name: name of the file.
        title: heading.
        axis: name of the quantity, with its unit.
        rows: `model`, `rank`, `value`, `low` and `high`, which may be null, and whatever else tells them apart.
        models: the labels, in the order of the legend.
        description: text alternative.
        among: all models of a page; see `by_model`.
        gaps: whether the values are gaps in loss, on an axis that is logarithmic but near 0.
    """
    alt = import_altair()
    x = alt.X("rank", type="quantitative", title="rank of the LM head").scale(type="log", base=2, nice=False)
    x = x.axis(values=sorted({row["rank"] for row in rows}), format="d")
    scale: dict[str, Any] = {"type": "symlog", "constant": LINEAR_BELOW} if gaps else {"zero": False}
    y = alt.Y("value", type="quantitative", title=axis).scale(**scale).axis(format="~g")
    if gaps:
        y = y.axis(format="~g", values=[-10, -1, -0.1, -0.01, 0, 0.01, 0.1, 1, 10, 100])
    values = alt.Chart(alt.NamedData(VALUES)).transform_filter(ONLY_VISIBLE)
    layers = []
    if any(row["low"] is not None for row in rows):
        colour = by_model(models, among=among)["color"]
        low = alt.Y("low", type="quantitative", title=axis)
        layers.append(values.mark_rule(strokeWidth=1.2, aria=False).encode(x=x, y=low, y2="high", color=colour))
    layers.append(values.mark_line(aria=False).encode(x=x, y=y, **by_model(models, markers=False, among=among)))
    tooltip = [
        alt.Tooltip("model", type="nominal"), alt.Tooltip("rank", type="quantitative"),
        alt.Tooltip("value", type="quantitative", format=".4~g", title=axis),
    ]  # fmt: skip
    points = values.mark_point(filled=True, size=45, opacity=1).encode(
        x=x, y=y, tooltip=tooltip, **by_model(models, among=among)
    )
    layers.append(points.add_params(visible_models(models)))
    chart = alt.layer(*layers).properties(width="container", height=HEIGHT)
    return Figure(name, title, description, specification(chart, description), {VALUES: rows}, models)


def draw_ranks(rows: Sequence[Row]) -> Figure:
    """Return the figure of the loss gap against rank, a line for every checkpoint and method, with 95 % intervals.

    Args:
        rows: of table `ranks`.

    Raises:
        DegenError: there is none.
    """
    if not rows:
        raise DegenError("no ranks were measured, so there is nothing to draw")
    points = [
        {
            "model": f"{row['model']}@{row['revision']} {row['method']}", "rank": row["rank"], "value": row["loss_gap"],
            **gap_interval(row),
        }
        for row in rows
    ]  # fmt: skip
    labels = list(dict.fromkeys(point["model"] for point in points))
    description = f"Loss above the full head by rank of the head, for {len(labels)} checkpoints and methods."
    return rank_curves("ranks", GAP_TITLE, GAP_AXIS, points, labels, description, gaps=True)


def gap_interval(row: Row) -> Row:
    """Return the ends of the 95 % interval of a gap, from a row of table `ranks`; None where its error is unknown."""
    if row["loss_gap_se"] is None or row["loss_gap"] is None:
        return {"low": None, "high": None}
    reach = two_sided(0.95) * row["loss_gap_se"]
    return {"low": row["loss_gap"] - reach, "high": row["loss_gap"] + reach}
