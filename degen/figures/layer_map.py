"""A metric of every layer over training, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence

from degen.tables import Row

from .figure import VALUES, Figure, specification
from .packages import import_altair
from .style import SEQUENTIAL

CELL, LEAST, MOST = 14, 120, 420  # pixels: the height of a layer, and of the whole map


def layer_map(name: str, title: str, metric: str, rows: Sequence[Row], description: str) -> Figure:
    """Return the heat map of a metric between 0 and 1 by depth and checkpoint of one model.

    Args:
        name: name of the file.
        title: heading.
        metric: name of the metric.
        rows: `checkpoint`, the text under its column, `step`, `layer`, the text before its row, and `value`; in the
            order of training, and within a checkpoint from the embedding up.
        description: text alternative.
    """
    alt = import_altair()
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    checkpoints = list(dict.fromkeys(row["checkpoint"] for row in rows))
    below = min([0.0, *(row["value"] for row in rows if row["value"] is not None)])
    colour = alt.Color("value", type="quantitative", title=metric)
    gradient = alt.Legend(orient="top", gradientLength=160, gradientThickness=10, titleOrient="left")
    chart = (
        alt.Chart(alt.NamedData(VALUES))
        .mark_rect(aria=False)
        .encode(
            x=alt.X("checkpoint", type="ordinal", title="step").scale(domain=checkpoints).axis(labelAngle=0),
            y=alt.Y("layer", type="ordinal", title="layer").scale(domain=layers[::-1]),
            color=colour.scale(scheme=SEQUENTIAL, domain=[below, 1.0], reverse=True).legend(gradient),
            tooltip=[
                alt.Tooltip("checkpoint", type="nominal"), alt.Tooltip("layer", type="nominal"),
                alt.Tooltip("value", type="quantitative", format=".4~g", title=metric),
            ],
        )
        .properties(width="container", height=max(LEAST, min(MOST, CELL * len(layers))))
    )  # fmt: skip
    return Figure(name, title, description, specification(chart, description), {VALUES: rows})
