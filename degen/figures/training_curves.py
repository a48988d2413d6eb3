"""A metric of every model over training, with intervals and the onsets of its saturation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from degen.tables import Row

from .figure import VALUES, Figure, specification
from .packages import import_altair
from .style import HEIGHT, ONLY_VISIBLE, by_model, visible_models

ONSETS = "onsets"
TICKS = ",d"
LINEAR = 100  # steps
DECADES = (0, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)


def training_curves(
    name: str,
    title: str,
    axis: str,
    rows: Sequence[Row],
    onsets: Sequence[Row],
    models: Sequence[str],
    description: str,
    *,
    log_y: bool = False,
    log_steps: bool = False,
    among: Sequence[str] = (),
) -> Figure:
    """Return the figure of a metric over training.

    Args:
        name: name of the file.
        title: heading.
        axis: name of the metric, with its unit.
        rows: `model`, `revision`, `step`, `tokens`, `value`, `low`, `high`; the last three may be null.
        onsets: `model`, and `step` and `tokens` with their `_low` and `_high`, of models that saturated.
        models: labels of the models, in the order of the legend.
        description: text alternative.
        log_y: whether the values are on a logarithmic axis.
        log_steps: whether the steps are on one, linear below `LINEAR`, so that step 0 has a place.
        among: all models of a page; see `by_model`.
    """
    alt = import_altair()
    scale = alt.Scale(type="log") if log_y else alt.Scale(zero=False, nice=True)
    x = alt.X("step", type="quantitative", title="step").axis(format=TICKS, tickCount=6).scale(nice=False)
    if log_steps:
        x = x.axis(format=TICKS, values=DECADES).scale(type="symlog", constant=LINEAR, nice=False)
    y = alt.Y("value", type="quantitative", title=axis, scale=scale).axis(tickCount=6)
    values = alt.Chart(alt.NamedData(VALUES)).transform_filter(ONLY_VISIBLE)
    colour = by_model(models, among=among)["color"]
    layers: list[Any] = _onset_layers(onsets, colour)
    if any(row["low"] is not None for row in rows):
        band = values.mark_area(opacity=0.18, aria=False).encode(x=x, y=y.copy(), y2="high", color=colour)
        band.encoding.y.shorthand = "low"
        layers.append(band)
    tooltip = [
        alt.Tooltip("model", type="nominal"), alt.Tooltip("revision", type="nominal"),
        alt.Tooltip("step", type="quantitative", format=",d"),
        alt.Tooltip("tokens", type="quantitative", format=".4~s"),
        alt.Tooltip("value", type="quantitative", format=".5~g", title=axis),
        alt.Tooltip("low", type="quantitative", format=".5~g"), alt.Tooltip("high", type="quantitative", format=".5~g"),
    ]  # fmt: skip
    layers.append(values.mark_line(aria=False).encode(x=x, y=y, **by_model(models, markers=False, among=among)))
    points = values.mark_point(filled=True, size=45, opacity=1).encode(
        x=x, y=y, tooltip=tooltip, **by_model(models, among=among)
    )
    layers.append(points.add_params(visible_models(models)))
    chart = alt.layer(*layers).properties(width="container", height=HEIGHT)
    tables = {VALUES: rows, ONSETS: onsets} if onsets else {VALUES: rows}
    return Figure(name, title, description, specification(chart, description), tables, models, over_training=True)


def _onset_layers(onsets: Sequence[Row], colour: Any) -> list[Any]:
    """Return a band for the interval of each onset and a rule at the onset itself; nothing without onsets."""
    if not onsets:
        return []
    alt = import_altair()
    data = alt.Chart(alt.NamedData(ONSETS)).transform_filter(ONLY_VISIBLE)
    low = alt.X("step_low", type="quantitative", title="step")
    band = data.mark_rect(opacity=0.13, aria=False).encode(x=low, x2="step_high", color=colour)
    at = alt.X("step", type="quantitative", title="step")
    tooltip = [
        alt.Tooltip("model", type="nominal"), alt.Tooltip("step", type="quantitative", title="onset", format=",d"),
        alt.Tooltip("step_low", type="quantitative", title="from", format=",d"),
        alt.Tooltip("step_high", type="quantitative", title="to", format=",d"),
    ]  # fmt: skip
    rule = data.mark_rule(strokeDash=[4, 3], strokeWidth=1.5).encode(x=at, color=colour, tooltip=tooltip)
    return [band, rule]
