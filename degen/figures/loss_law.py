"""Losses of models against the law of the larger ones, by size."""

from __future__ import annotations

from collections.abc import Sequence

from degen.tables import Row

from .figure import VALUES, Figure, specification
from .packages import import_altair
from .style import COLOURS, COUNTS, HEIGHT, ONLY_VISIBLE, SHAPES, visible_models

LAW = "law"
KINDS = ("final loss, fitted", "final loss, predicted", "best loss")


def loss_law(name: str, title: str, rows: Sequence[Row], law: Sequence[Row], description: str) -> Figure:
    """Return the figure of final and best losses by size, with the law's loss at the final tokens of each model.

    Args:
        name: name of the file.
        title: heading.
        rows: `label` of the model, `model`, one of `KINDS`, `parameters` and `loss`.
        law: `parameters`, `loss` by the law, and `low` and `high` of its prediction interval, perhaps null.
        description: text alternative.
    """
    alt = import_altair()
    x = (
        alt.X("parameters", type="quantitative", title="parameters")
        .scale(type="log", nice=False, padding=15)
        .axis(labelExpr=COUNTS, tickCount=6)
    )
    y = alt.Y("loss", type="quantitative", title="loss (nats/token)").scale(zero=False)
    fitted = alt.Chart(alt.NamedData(LAW))
    layers = []
    if any(row["low"] is not None for row in law):
        low = alt.Y("low", type="quantitative", title="loss (nats/token)")
        layers.append(fitted.mark_area(opacity=0.15, color="#333", aria=False).encode(x=x, y=low, y2="high"))
    layers.append(fitted.mark_line(color="#333", aria=False).encode(x=x, y=y))
    legend = alt.Legend(title=None, orient="top")
    points = alt.Chart(alt.NamedData(VALUES)).transform_filter(ONLY_VISIBLE).mark_point(filled=True, size=80, opacity=1)
    points = points.encode(
        x=x,
        y=y,
        color=alt.Color("model", type="nominal", legend=legend).scale(domain=KINDS, range=list(COLOURS[:3])),
        shape=alt.Shape("model", type="nominal", legend=legend).scale(domain=KINDS, range=list(SHAPES[:3])),
        tooltip=[
            alt.Tooltip("label", type="nominal", title="model"), alt.Tooltip("model", type="nominal", title="which"),
            alt.Tooltip("parameters", type="quantitative", format=",d"),
            alt.Tooltip("loss", type="quantitative", format=".4~g"),
        ],
    )  # fmt: skip
    layers.append(points.add_params(visible_models(KINDS)))
    chart = alt.layer(*layers).properties(width="container", height=HEIGHT)
    return Figure(name, title, description, specification(chart, description), {VALUES: rows, LAW: law}, KINDS)
