"""A metric by depth, a line for each model: figure 2 of arXiv 2404.07647."""

from __future__ import annotations

from collections.abc import Sequence

from degen.tables import Row

from .figure import VALUES, Figure, specification
from .packages import import_altair
from .style import HEIGHT, ONLY_VISIBLE, by_model, visible_models


def depth_curves(
    name: str, title: str, axis: str, rows: Sequence[Row], models: Sequence[str], description: str
) -> Figure:
    """Return the figure of a metric by relative depth at one checkpoint of each model.

    Args:
        name: name of the file.
        title: heading.
        axis: name of the metric.
        rows: `model`, `revision`, `layer`, `depth`, the layer over the number of blocks, and `value`.
        models: labels of the models, in the order of the legend.
        description: text alternative.
    """
    alt = import_altair()
    x = alt.X("depth", type="quantitative", title="layer / number of layers").scale(domain=[0, 1])
    y = alt.Y("value", type="quantitative", title=axis).scale(zero=True)
    values = alt.Chart(alt.NamedData(VALUES)).transform_filter(ONLY_VISIBLE)
    tooltip = [
        alt.Tooltip("model", type="nominal"), alt.Tooltip("revision", type="nominal"),
        alt.Tooltip("layer", type="quantitative"), alt.Tooltip("value", type="quantitative", format=".4~g", title=axis),
    ]  # fmt: skip
    points = values.mark_point(filled=True, size=35, opacity=1).encode(x=x, y=y, tooltip=tooltip, **by_model(models))
    lines = values.mark_line(aria=False).encode(x=x, y=y, **by_model(models, markers=False))
    chart = alt.layer(lines, points.add_params(visible_models(models))).properties(width="container", height=HEIGHT)
    return Figure(name, title, description, specification(chart, description), {VALUES: rows}, models)
