"""Figures of several panels beside each other, each with data of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .packages import import_altair
from .style import COUNTS

FLOPS, PARAMETERS, TOKENS = "training FLOPs", "parameters", "training tokens"
LARGE = (PARAMETERS, TOKENS)
WIDTH, HEIGHT, COLUMNS = 300, 230, 4  # of a panel in pixels; panels of a row at most


def axis(channel: str, field: str, title: str, *, log: bool) -> Any:
    """Return the x or y of a panel.

    Args:
        channel: `x` or `y`.
        field: column of the data.
        title: of the axis.
        log: whether it is logarithmic.
    """
    alt = import_altair()
    encoding = (alt.X if channel == "x" else alt.Y)(field, type="quantitative", title=title)
    scale = alt.Scale(type="log", nice=False, padding=8) if log else alt.Scale(zero=False)
    if title in LARGE:
        return encoding.scale(scale).axis(tickCount=5, labelExpr=COUNTS)
    return encoding.scale(scale).axis(tickCount=5, format="~e" if title == FLOPS else "~g")


def panel(layers: Sequence[Any], title: str | None = None) -> Any:
    """Return a panel of some layers."""
    chart = import_altair().layer(*layers).properties(width=WIDTH, height=HEIGHT)
    return chart.properties(title=title) if title is not None else chart


def beside(panels: Sequence[Any]) -> Any:
    """Return the chart of some panels, at most four in a row, each with legends of its own."""
    alt = import_altair()
    if len(panels) == 1:
        return panels[0]
    return alt.concat(*panels, columns=COLUMNS).resolve_scale(color="independent", shape="independent")
