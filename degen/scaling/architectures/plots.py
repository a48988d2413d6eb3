"""Figures of the comparisons: lines of architectures, and the Pareto frontier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from degen.drawing import label_axes, new_figure, save_figure
from degen.errors import DegenError
from degen.scaling.quantities import quantity_of
from degen.tables import Row

from .columns import Cost, Quality
from .families import Slopes
from .pareto_report import Pareto
from .slopes import Quantity

MAX_NAMED = 25  # points that a panel has room to name
MAX_REVERSALS = 60  # reversals that a panel has room to show


def draw_slopes(result: Slopes, file: Path) -> None:
    """Draw a panel for each pair of quantities and kind of axes: the points and line of each architecture.

    Raises:
        DegenError: the file cannot be written.
    """
    pairs = [(x, y) for x, y in result.pairs if x.values is not None and y.values is not None]
    content = [(x, y, axes) for x, y in pairs for axes in _axes_with_lines(result.rows, x, y)]
    figure, panels = _panels(len(content))
    for panel, (x, y, axes) in zip(panels, content, strict=True):
        rows = [row for row in result.rows if (row["x"], row["y"], row["axes"]) == (x.name, y.name, axes)]
        for row in rows:
            _draw_line(panel, row, x, y, [label == row["architecture"] for label in result.labels])
        panel.set_xscale("linear" if axes == "linear" else "log")
        panel.set_yscale("log" if axes == "log-log" else "linear")
        _label_panel(panel, _label(x.name), _label(y.name), f"{x.role}-{y.role}, {axes}")
        if panel is panels[0] and len(rows) <= 12:
            panel.legend(fontsize="x-small")
    save_figure(figure, file)


def draw_pareto(result: Pareto, file: Path) -> None:
    """Draw a panel for each cost and quality with its frontier, and one of upstream and downstream.

    Raises:
        DegenError: there is neither a cost nor a downstream quality, or the file cannot be written.
    """
    compared = [row["downstream"] for row in result.correlations if row["upstream"] in result.values]
    compared = [name for name in compared if name in result.values]
    count = len(result.costs) * len(result.qualities) + len(compared)
    if not count:
        raise DegenError(
            f"--plot {file}: there is nothing to draw, because the table has neither a cost nor a downstream quality; "
            "name one with --cost or --downstream"
        )
    figure, panels = _panels(count)
    pairs = [(cost, quality) for cost in result.costs for quality in result.qualities]
    for panel, (cost, quality) in zip(panels, pairs, strict=False):
        _draw_frontier(panel, result, cost, quality)
    for panel, name in zip(panels[len(pairs) :], compared, strict=True):
        _draw_reversals(panel, result, name)
    save_figure(figure, file)


def _axes_with_lines(rows: Sequence[Row], x: Quantity, y: Quantity) -> list[str]:
    """Return the kinds of axes, as `semi-log`, on which at least one architecture has a line of y over x."""
    lines = [row for row in rows if (row["x"], row["y"]) == (x.name, y.name) and row["slope"] is not None]
    return list(dict.fromkeys(row["axes"] for row in lines))


def _draw_line(panel: Any, row: Row, x: Quantity, y: Quantity, rows: Sequence[bool]) -> None:
    """Draw the points of one architecture and its line.

    Args:
        panel: the panel of the figure.
        row: the row of the result with the line.
        x: the quantity on the x axis.
        y: the quantity on the y axis.
        rows: for each row of the table, whether it is of the architecture.
    """
    if row["slope"] is None or x.values is None or y.values is None:
        return
    known = np.array(rows) & np.isfinite(x.values) & np.isfinite(y.values)
    grid = np.sort(x.values[known])
    fitted = row["intercept"] + row["slope"] * (grid if row["axes"] == "linear" else np.log10(grid))
    (line,) = panel.plot(grid, 10**fitted if row["axes"] == "log-log" else fitted, label=row["architecture"])
    panel.plot(x.values[known], y.values[known], "o", markersize=3, color=line.get_color())


def _draw_frontier(panel: Any, result: Pareto, cost: Cost, quality: Quality) -> None:
    frontier = next(r for r in result.frontiers if (r["cost"], r["quality"]) == (cost.name, quality.name))
    best = [result.names.index(name) for name in frontier["frontier"]]
    panel.plot(cost.values, quality.values, "o", markersize=3, color="0.6")
    panel.plot(cost.values[best], quality.values[best], "o-", markersize=4, drawstyle="steps-post")
    panel.set_xscale("log" if np.nanmin(cost.values) > 0 else "linear")
    up = 3 if quality.better == "min" else -3  # to the side where the frontier's steps are not
    for i in best[:MAX_NAMED]:
        point = cost.values[i], quality.values[i]
        left = panel.transAxes.inverted().transform(panel.transData.transform(point))[0] > 0.5  # or the name is cut off
        panel.annotate(
            result.names[i], point, (-3, -up) if left else (3, up), textcoords="offset points", fontsize="xx-small",
            ha="right" if left else "left", va="top" if (up > 0) == left else "bottom",
        )  # fmt: skip
    better = "lower" if quality.better == "min" else "higher"
    _label_panel(panel, _label(cost.name), f"{_label(quality.name)}, {better} is better", "frontier")


def _draw_reversals(panel: Any, result: Pareto, name: str) -> None:
    upstream = next(row["upstream"] for row in result.correlations if row["downstream"] == name)
    panel.plot(result.values[upstream], result.values[name], "o", markersize=3, color="0.4")
    for row in [row for row in result.reversals if row["downstream"] == name][:MAX_REVERSALS]:
        style = ":" if row["within_noise"] else "-"
        panel.plot(row["upstream_values"], row["downstream_values"], style, color="C3", alpha=0.6)
    _label_panel(panel, _label(upstream), _label(name), "pairs that reverse (dotted: within noise)")


def _label(name: str) -> str:
    """Return the label of an axis: the name of a column or quantity, with its unit where that is known."""
    units = {"flops": "training FLOPs", "loss": f"{name} (nats/token)", "tokens": "training tokens"}
    return units.get(quantity_of(name) or "", name)


def _label_panel(panel: Any, x: str, y: str, title: str) -> None:
    label_axes(panel)
    panel.set_xlabel(x)
    panel.set_ylabel(y)
    panel.set_title(title, fontsize="small")
    panel.grid(alpha=0.3)


def _panels(count: int) -> tuple[Any, list[Any]]:
    """Return a figure and its panels, at most four in a row."""
    columns = min(4, count)
    rows = -(-count // columns)
    width, height = 4 * columns, 3.2 * rows
    figure = new_figure(width, height)
    # margins are fixed in inches, as an automatic layout takes longer than drawing
    figure.subplots_adjust(0.85 / width, 0.55 / height, 1 - 0.15 / width, 1 - 0.35 / height, wspace=0.4, hspace=0.42)
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(count)]
