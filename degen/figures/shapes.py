"""What each knob of a model's shape buys: its elasticity for each quality, with the interval, and what is saved."""

from __future__ import annotations

from degen.errors import DegenError
from degen.scaling.architectures.knob_effects import OTHER_KNOBS
from degen.scaling.architectures.shape_report import ShapeReport
from degen.tables import Row

from .figure import Figure, specification
from .packages import import_altair
from .panels import beside
from .savings import savings_panel
from .style import COLOURS, SHAPES

ROW_HEIGHT = 22  # pixels of a knob and architecture


def draw_shapes(result: ShapeReport) -> Figure:
    """Return a figure with a panel for each quality, and for each cost that another model saves something of.

    The first show the elasticity in each knob at equal other knobs, the others the share of a model's cost that the
    cheapest model takes which is as good.

    Raises:
        DegenError: no elasticity could be told, and nothing is saved.
    """
    rows = [row for row in result.rows if row["equal"] == OTHER_KNOBS and row["elasticity"] is not None]
    if not rows and not result.savings:
        raise DegenError("there is nothing to draw, because no knob's effect can be told and no model is cheaper")
    alt = import_altair()
    qualities = list(dict.fromkeys(row["quality"] for row in rows))
    knobs = list(dict.fromkeys(row["knob"] for row in rows))
    labels = list(dict.fromkeys(row["architecture"] for row in rows))
    tables: dict[str, list[Row]] = {}
    panels = []
    colours, shapes = ([values[i % len(values)] for i in range(len(labels))] for values in (COLOURS, SHAPES))
    for i, quality in enumerate(qualities):
        names = ("knob", "architecture", "elasticity", "elasticity_low", "elasticity_high")
        tables[quality] = [{name: row[name] for name in names} for row in rows if row["quality"] == quality]
        legend = alt.Legend(title=None, orient="top") if i == 0 and len(labels) > 1 else None
        y = alt.Y("knob", type="nominal", title=None).scale(domain=knobs).axis(labels=i == 0)
        at = {"y": y, "yOffset": alt.YOffset("architecture", type="nominal").scale(domain=labels)}
        colour = alt.Color("architecture", type="nominal", legend=legend).scale(domain=labels, range=colours)
        shape = alt.Shape("architecture", type="nominal", legend=legend).scale(domain=labels, range=shapes)
        title = f"% of {quality} for 1 % more of the knob"
        data = alt.Chart(alt.NamedData(quality))
        low, middle = (alt.X(name, type="quantitative", title=title) for name in ("elasticity_low", "elasticity"))
        layers = [
            alt.Chart(alt.NamedData("zero"))
            .mark_rule(color="#999")
            .encode(x=alt.X("x", type="quantitative", title=title)),
            data.mark_rule().encode(x=low, x2="elasticity_high", color=colour, **at),
            data.mark_point(filled=True, size=40, opacity=1).encode(x=middle, color=colour, shape=shape, **at),
        ]
        panels.append(alt.layer(*layers).properties(width=240, height=ROW_HEIGHT * len(knobs) * len(labels)))
    tables["zero"] = [{"x": 0}]
    costs = list(dict.fromkeys(row["cost"] for row in result.savings))
    panels += [savings_panel(result.savings, cost, tables) for cost in costs]
    parts = [f"Elasticity of {', '.join(qualities)} in {', '.join(knobs)}, with intervals"] if rows else []
    parts += [f"Share of {', '.join(costs)} that the cheapest model takes which is as good"] if costs else []
    description = "; ".join(parts) + "."
    chart = specification(beside(panels), description)
    return Figure("shapes", "What each knob buys", description, chart, tables)
