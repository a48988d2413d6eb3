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

NAMED = 25  # points that a figure has room to name
JOINED = 60  # reversals that it has room to show


def draw_slopes(answer: Slopes, file: Path) -> None:
    """Draw a panel for each pair of quantities and kind of axes: the points and line of each architecture.

    Raises:
        DegenError: the file cannot be written.
    """
    wanted = [(x, y) for x, y in answer.pairs if x.values is not None and y.values is not None]
    shown = [(x, y, axes) for x, y in wanted for axes in _drawn(answer.rows, x, y)]
    columns = min(4, len(shown))
    figure = _figure(columns, -(-len(shown) // columns))
    for number, (x, y, axes) in enumerate(shown, start=1):
        panel = figure.add_subplot(-(-len(shown) // columns), columns, number)
        rows = [row for row in answer.rows if (row["x"], row["y"], row["axes"]) == (x.name, y.name, axes)]
        for row in rows:
            _draw_line(panel, row, x, y, [label == row["architecture"] for label in answer.labels])
        panel.set_xscale("linear" if axes == "linear" else "log")
        panel.set_yscale("log" if axes == "log-log" else "linear")
        label_axes(panel)
        panel.set_xlabel(_label(x.name))
        panel.set_ylabel(_label(y.name))
        panel.set_title(f"{x.role}-{y.role}, {axes}", fontsize="small")
        panel.grid(alpha=0.3)
        if number == 1 and len(rows) <= 12:
            panel.legend(fontsize="x-small")
    save_figure(figure, file)


def draw_pareto(answer: Pareto, file: Path) -> None:
    """Draw a panel for each cost and quality with its frontier, and one of upstream and downstream.

    Raises:
        DegenError: there is nothing to draw, or the file cannot be written.
    """
    compared = [row["downstream"] for row in answer.correlations if row["upstream"] in answer.values]
    compared = [name for name in compared if name in answer.values]
    count = len(answer.costs) * len(answer.qualities) + len(compared)
    if not count:
        raise DegenError(f"--plot {file}: nothing to draw, no cost and no downstream quality")
    columns = min(4, count)
    figure = _figure(columns, -(-count // columns))
    panels = [figure.add_subplot(-(-count // columns), columns, i + 1) for i in range(count)]
    pairs = [(cost, quality) for cost in answer.costs for quality in answer.qualities]
    for panel, (cost, quality) in zip(panels, pairs, strict=False):
        _draw_frontier(panel, answer, cost, quality)
    for panel, name in zip(panels[len(pairs) :], compared, strict=True):
        _draw_reversals(panel, answer, name)
    save_figure(figure, file)


def _drawn(rows: Sequence[Row], x: Quantity, y: Quantity) -> list[str]:
    """Return the kinds of axes on which at least one architecture has a line."""
    own = [row for row in rows if (row["x"], row["y"]) == (x.name, y.name) and row["slope"] is not None]
    return list(dict.fromkeys(row["axes"] for row in own))


def _draw_line(panel: Any, row: Row, x: Quantity, y: Quantity, own: Sequence[bool]) -> None:
    if row["slope"] is None or x.values is None or y.values is None:
        return
    known = np.array(own) & np.isfinite(x.values) & np.isfinite(y.values)
    at = np.sort(x.values[known])
    fitted = row["intercept"] + row["slope"] * (at if row["axes"] == "linear" else np.log10(at))
    (line,) = panel.plot(at, 10**fitted if row["axes"] == "log-log" else fitted, label=row["architecture"])
    panel.plot(x.values[known], y.values[known], "o", markersize=3, color=line.get_color())


def _draw_frontier(panel: Any, answer: Pareto, cost: Cost, quality: Quality) -> None:
    found = next(r for r in answer.frontiers if (r["cost"], r["quality"]) == (cost.name, quality.name))
    at = [answer.names.index(name) for name in found["frontier"]]
    panel.plot(cost.values, quality.values, "o", markersize=3, color="0.6")
    panel.plot(cost.values[at], quality.values[at], "o-", markersize=4, drawstyle="steps-post")
    panel.set_xscale("log" if np.nanmin(cost.values) > 0 else "linear")
    up = 3 if quality.better == "min" else -3  # to the side where the frontier's steps are not
    for i in at[:NAMED]:
        across = panel.transAxes.inverted().transform(panel.transData.transform((cost.values[i], quality.values[i])))[0]
        left = across > 0.5  # a name at the right edge would leave the panel
        panel.annotate(
            answer.names[i], (cost.values[i], quality.values[i]), (-3, -up) if left else (3, up),
            textcoords="offset points", fontsize="xx-small", ha="right" if left else "left",
            va="top" if (up > 0) == left else "bottom",
        )  # fmt: skip
    label_axes(panel)
    panel.set_xlabel(_label(cost.name))
    panel.set_ylabel(f"{_label(quality.name)}, {'lower' if quality.better == 'min' else 'higher'} is better")
    panel.set_title("frontier", fontsize="small")
    panel.grid(alpha=0.3)


def _draw_reversals(panel: Any, answer: Pareto, name: str) -> None:
    upstream = next(row["upstream"] for row in answer.correlations if row["downstream"] == name)
    panel.plot(answer.values[upstream], answer.values[name], "o", markersize=3, color="0.4")
    for row in [row for row in answer.reversals if row["downstream"] == name][:JOINED]:
        sure = row["within_noise"] is not True
        panel.plot(row["upstream_values"], row["downstream_values"], "-" if sure else ":", color="C3", alpha=0.6)
    label_axes(panel)
    panel.set_xlabel(_label(upstream))
    panel.set_ylabel(_label(name))
    panel.set_title("pairs that reverse (dotted: within noise)", fontsize="small")
    panel.grid(alpha=0.3)


def _label(name: str) -> str:
    """Return a column or quantity with its unit, where that is known."""
    units = {"flops": "training FLOPs", "loss": f"{name} (nats/token)", "tokens": "training tokens"}
    return units.get(quantity_of(name) or "", name)


def _figure(columns: int, rows: int) -> Any:
    wide, high = 4 * columns, 3.2 * rows
    figure = new_figure(wide, high)
    # room for labels in inches, as no layout has to be searched for: that takes longer than drawing
    figure.subplots_adjust(0.85 / wide, 0.55 / high, 1 - 0.15 / wide, 1 - 0.35 / high, wspace=0.4, hspace=0.42)
    return figure
