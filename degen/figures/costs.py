"""What models cost: where their parameters are, and FLOPs against parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from degen.errors import DegenError
from degen.scaling.costs.table import CostTable
from degen.tables import Row

from .figure import Figure, specification
from .packages import import_altair
from .panels import HEIGHT, PARAMETERS, WIDTH, axis, beside, panel
from .style import COLOURS, COUNTS

MAX_BARS = 30  # models that the bars have room for
MAX_NAMED = 25  # points that a panel has room to name
ROW_HEIGHT = 18  # pixels of a bar
PARTS = ("embeddings and head", "of every token", "of experts a token is not sent to")


def draw_costs(result: CostTable) -> Figure:
    """Return a figure of the parameters of each model by part, and of training FLOPs a token against parameters.

    The dashed line of the second panel is 6 FLOPs a parameter (Kaplan et al. 2020): models below it have embeddings
    that are looked up, experts that are not used, or two sides of which a token meets one; attention's scores, with
    `--context`, lift them above it.

    Raises:
        DegenError: no model has costs.
    """
    measured = [row for row in result.rows if row["reason"] is None]
    if not measured:
        raise DegenError("there is nothing to draw, because no model has costs")
    tables: dict[str, list[Row]] = {}
    panels = [_parts(measured, tables), _flops(measured, tables)]
    shown = "" if len(measured) <= MAX_BARS else f", of {MAX_BARS} of them"
    description = (
        f"Parameters of {len(measured)} models by part{shown}, and their training FLOPs a token against parameters."
    )
    return Figure("costs", "What models cost", description, specification(beside(panels), description), tables)


def _parts(rows: Sequence[Row], tables: dict[str, list[Row]]) -> Any:
    """Return the panel of stacked bars, a model each; the largest, where there are more than it has room for."""
    alt = import_altair()
    kept = sorted(rows, key=lambda row: -row["parameters"])[:MAX_BARS] if len(rows) > MAX_BARS else rows
    names = [row["model"] for row in kept]
    tables["parameters"] = [
        {"model": row["model"], "part": part, "order": i, "parameters": count}
        for row in kept
        for i, (part, count) in enumerate(zip(PARTS, _counts(row), strict=True))
        if count
    ]
    used = [part for part in PARTS if any(row["part"] == part for row in tables["parameters"])]
    colours = [COLOURS[PARTS.index(part)] for part in used]
    legend = alt.Legend(title=None, orient="top", columns=1)
    bars = (
        alt.Chart(alt.NamedData("parameters"))
        .mark_bar()
        .encode(
            x=alt.X("parameters", type="quantitative", title=PARAMETERS, stack="zero").axis(
                tickCount=5, labelExpr=COUNTS
            ),
            y=alt.Y("model", type="nominal", title=None).scale(domain=names).axis(labelLimit=WIDTH, labelOverlap=False),
            color=alt.Color("part", type="nominal", legend=legend).scale(domain=used, range=colours),
            order=alt.Order("order", type="quantitative"),
        )
    )
    return bars.properties(width=WIDTH, height=max(HEIGHT, ROW_HEIGHT * len(names)), title="where parameters are")


def _counts(row: Row) -> tuple[int, int, int]:
    """Return the parameters of each of the parts: all but embeddings and head are met by every token, or not."""
    idle = row["parameters"] - row["parameters_active"]
    body = row["parameters_non_embedding"] - idle
    return row["parameters"] - row["parameters_non_embedding"], body, idle


def _flops(rows: Sequence[Row], tables: dict[str, list[Row]]) -> Any:
    """Return the panel of points, with the line of 6 FLOPs a parameter."""
    alt = import_altair()
    names = ("model", "parameters", "flops_per_token")
    counts = [row["parameters"] for row in rows]
    middle = (min(counts) * max(counts)) ** 0.5
    tables["points"] = [{name: row[name] for name in names} | {"left": row["parameters"] <= middle} for row in rows]
    ends = sorted({min(counts), max(counts)})
    tables["line"] = [{"parameters": count, "flops_per_token": 6.0 * count} for count in ends]
    at = {
        "x": axis("x", "parameters", PARAMETERS, log=True),
        "y": axis("y", "flops_per_token", "training FLOPs a token", log=True).axis(tickCount=5, format="~e"),
    }
    points = alt.Chart(alt.NamedData("points"))
    layers = [
        alt.Chart(alt.NamedData("line")).mark_line(color="#999", strokeDash=[6, 3]).encode(**at),
        points.mark_point(filled=True, size=30, opacity=1, color=COLOURS[0]).encode(**at),
    ]
    if len(rows) <= MAX_NAMED:
        for left in (True, False):  # names of the right half stand to the left of their points, or they are cut off
            text = {"fontSize": 8, "align": "left" if left else "right", "dx": 5 if left else -5, "dy": -5}
            half = points.transform_filter("datum.left" if left else "!datum.left")
            layers.append(half.mark_text(**text, limit=WIDTH // 2, aria=False).encode(**at, text="model:N"))
    return panel(layers, "FLOPs against parameters (dashed: 6 a parameter)")
