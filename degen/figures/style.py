"""The look of all figures: colours that are safe for colour blindness, dashes and markers, axes, fonts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .packages import import_altair

# Okabe and Ito 2008, without yellow, which is too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (12, 4), (4, 1))
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
SEQUENTIAL = "viridis"  # rises evenly in lightness, so that it is safe for colour blindness and prints in grey

COUNTS = "replace(format(datum.value, '~s'), 'G', 'B')"  # labels of counts: 70M, 1.4B
COLUMN_WIDTH, HEIGHT = 420, 260  # of a plot without its axes, in pixels of 1/96 inch

CONFIG: dict[str, Any] = {
    "background": "white",
    "font": "Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif",
    "view": {"stroke": None, "continuousWidth": COLUMN_WIDTH, "continuousHeight": HEIGHT},
    "axis": {
        "labelColor": "#222", "titleColor": "#222", "gridColor": "#e4e4e4", "domainColor": "#555", "tickColor": "#555",
        "labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal", "labelOverlap": "greedy",
        "labelSeparation": 6,
    },
    "legend": {
        "labelColor": "#222", "titleColor": "#222", "labelFontSize": 11, "titleFontSize": 11,
        "titleFontWeight": "normal", "labelLimit": 260, "symbolStrokeWidth": 2, "symbolSize": 70, "symbolOpacity": 1,
        "columns": 4,
    },
    "title": {"fontSize": 13, "fontWeight": "normal", "anchor": "start"},
    "header": {"labelFontSize": 12, "labelColor": "#222"},
}  # fmt: skip


def colours_of(models: Sequence[str]) -> list[str]:
    """Return the colour of each model, in turn."""
    return [COLOURS[i % len(COLOURS)] for i in range(len(models))]


def dashes_of(models: Sequence[str]) -> list[list[int]]:
    """Return the dashes of each model's line; with the colours they differ for 42 models."""
    return [list(DASHES[i % len(DASHES)]) for i in range(len(models))]


def shapes_of(models: Sequence[str]) -> list[str]:
    """Return the marker of each model."""
    return [SHAPES[i % len(SHAPES)] for i in range(len(models))]


def by_model(models: Sequence[str], *, markers: bool = True, among: Sequence[str] = ()) -> dict[str, Any]:
    """Return the channels that tell models apart: colour, dashes and, on request, markers, in one legend.

    Args:
        models: their labels.
        markers: whether the mark has a shape.
        among: all models of a page, so that each looks the same in every figure; empty for `models`.
    """
    alt = import_altair()
    domain = list(among or models)
    legend = alt.Legend(title=None, orient="top", values=list(models))
    colour = alt.Color("model", type="nominal", legend=legend).scale(domain=domain, range=colours_of(domain))
    if markers:
        shape = alt.Shape("model", type="nominal", legend=legend).scale(domain=domain, range=shapes_of(domain))
        return {"color": colour, "shape": shape}
    dash = alt.StrokeDash("model", type="nominal", legend=legend).scale(domain=domain, range=dashes_of(domain))
    return {"color": colour, "strokeDash": dash}


def visible_models(models: Sequence[str]) -> Any:
    """Return the parameter of the models that are shown; a click on the legend takes one away or brings it back."""
    return import_altair().selection_point(
        name="visible", fields=["model"], bind="legend", toggle="true", clear=False,
        value=[{"model": model} for model in models],
    )  # fmt: skip


ONLY_VISIBLE = {"param": "visible", "empty": False}  # the filter of rows of models that are shown
