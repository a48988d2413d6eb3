"""Vega-Lite specifications, read."""

from __future__ import annotations

from typing import Any

from degen.figures.figure import Figure


def panels(figure: Figure) -> list[dict[str, Any]]:
    """Return the panels of a figure, one or more."""
    return list(figure.spec.get("concat", [figure.spec]))


def axis_title(panel: dict[str, Any], channel: str) -> str:
    """Return the title of an axis of a panel; its layers must agree."""
    titles = {layer["encoding"][channel]["title"] for layer in panel["layer"] if channel in layer["encoding"]}
    (title,) = titles
    return str(title)


def scale_type(panel: dict[str, Any], channel: str) -> str:
    """Return whether an axis is `log` or `linear`."""
    (kind,) = {layer["encoding"][channel]["scale"].get("type", "linear") for layer in panel["layer"]}
    return str(kind)


def marks(panel: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the data and the mark of each layer of a panel."""
    shared = panel.get("data")  # altair moves what all layers have to their parent
    return [(layer.get("data", shared)["name"], layer["mark"]["type"]) for layer in panel["layer"]]
