"""Comparisons of architectures: their lines, and the Pareto frontier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from degen.errors import DegenError
from degen.scaling.architectures.columns import Cost, Quality
from degen.scaling.architectures.families import Slopes
from degen.scaling.architectures.pareto_report import Pareto
from degen.scaling.architectures.slopes import Quantity
from degen.scaling.quantities import quantity_of
from degen.tables import Row

from .figure import Figure, specification
from .packages import import_altair
from .panels import FLOPS, TOKENS, WIDTH, axis, beside, panel
from .style import COLOURS, SHAPES

MOST_NAMED = 25  # points that a panel has room to name
MOST_REVERSALS = 60  # reversals that a panel has room to show
MOST_LEGEND = 12


def draw_slopes(result: Slopes) -> Figure:
    """Return a figure with a panel for each pair of quantities and kind of axes: points and line of each architecture.

    Raises:
        DegenError: no architecture has a line.
    """
    pairs = [(x, y) for x, y in result.pairs if x.values is not None and y.values is not None]
    content = [(x, y, axes) for x, y in pairs for axes in _axes_with_lines(result.rows, x, y)]
    if not content:
        raise DegenError("there is nothing to draw, because no architecture has a line")
    tables: dict[str, list[Row]] = {}
    panels = [_lines(result, x, y, axes, tables, i) for i, (x, y, axes) in enumerate(content)]
    description = (
        f"Points and fitted line of each architecture, in {len(panels)} pairs of quantities and kinds of axes."
    )
    return Figure(
        "slopes", "Slopes of architectures", description, specification(beside(panels), description), tables
    )  # fmt: skip


def draw_pareto(result: Pareto) -> Figure:
    """Return a figure with a panel for each cost and quality with its frontier, and one of upstream and downstream.

    Raises:
        DegenError: there is neither a cost nor a downstream quality.
    """
    compared = [row["downstream"] for row in result.correlations if row["upstream"] in result.values]
    compared = [name for name in compared if name in result.values]
    if not len(result.costs) * len(result.qualities) + len(compared):
        raise DegenError(
            "there is nothing to draw, because the table has neither a cost nor a downstream quality; name one with "
            "--cost or --downstream"
        )
    tables: dict[str, list[Row]] = {}
    pairs = [(cost, quality) for cost in result.costs for quality in result.qualities]
    panels = [_frontier(result, cost, quality, tables) for cost, quality in pairs]
    panels += [_reversals(result, name, tables) for name in compared]
    description = f"Pareto frontiers in {len(pairs)} panels, and pairs that reverse downstream in {len(compared)}."
    return Figure("pareto", "Pareto frontier", description, specification(beside(panels), description), tables)


def _axes_with_lines(rows: Sequence[Row], x: Quantity, y: Quantity) -> list[str]:
    """Return the kinds of axes, as `semi-log`, on which at least one architecture has a line of y over x."""
    lines = [row for row in rows if (row["x"], row["y"]) == (x.name, y.name) and row["slope"] is not None]
    return list(dict.fromkeys(row["axes"] for row in lines))


def _lines(result: Slopes, x: Quantity, y: Quantity, axes: str, tables: dict[str, list[Row]], index: int) -> Any:
    """Return the panel of one pair of quantities and kind of axes; its points and lines go into the tables."""
    alt = import_altair()
    assert x.values is not None
    assert y.values is not None
    rows = [row for row in result.rows if (row["x"], row["y"], row["axes"]) == (x.name, y.name, axes)]
    title = f"{x.role}-{y.role}, {axes}"
    points, lines = tables.setdefault(f"points of {title}", []), tables.setdefault(f"lines of {title}", [])
    for row in (row for row in rows if row["slope"] is not None):
        own = np.array([label == row["architecture"] for label in result.labels])
        known = own & np.isfinite(x.values) & np.isfinite(y.values)
        for a, b in zip(x.values[known].tolist(), y.values[known].tolist(), strict=True):
            points.append({"architecture": row["architecture"], "x": a, "y": b})
        grid = np.sort(x.values[known])
        fitted = row["intercept"] + row["slope"] * (grid if axes == "linear" else np.log10(grid))
        fitted = 10**fitted if axes == "log-log" else fitted
        lines += [
            {"architecture": row["architecture"], "x": a, "y": b}
            for a, b in zip(grid.tolist(), fitted.tolist(), strict=True)
        ]
    names = list(dict.fromkeys(result.labels))
    legend = alt.Legend(title=None, orient="top", columns=3) if index == 0 and len(names) <= MOST_LEGEND else None
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(names))]
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(names))]
    colour = alt.Color("architecture", type="nominal", legend=legend).scale(domain=names, range=colours)
    shape = alt.Shape("architecture", type="nominal", legend=legend).scale(domain=names, range=shapes)
    at = {
        "x": axis("x", "x", _label(x.name), log=axes != "linear"),
        "y": axis("y", "y", _label(y.name), log=axes == "log-log"),
    }
    drawn = alt.Chart(alt.NamedData(f"points of {title}")).mark_point(filled=True, size=30, opacity=1)
    fits = alt.Chart(alt.NamedData(f"lines of {title}")).mark_line()
    return panel([fits.encode(**at, color=colour), drawn.encode(**at, color=colour, shape=shape)], title)


def _frontier(result: Pareto, cost: Cost, quality: Quality, tables: dict[str, list[Row]]) -> Any:
    """Return the panel of one cost and quality: all points, and the steps of the frontier with names."""
    alt = import_altair()
    frontier = next(r for r in result.frontiers if (r["cost"], r["quality"]) == (cost.name, quality.name))
    best = [result.names.index(name) for name in frontier["frontier"]]
    better = "lower" if quality.better == "min" else "higher"
    name = f"{cost.name} and {quality.name}"
    known = [i for i in range(len(result.names)) if np.isfinite(cost.values[i]) and np.isfinite(quality.values[i])]
    log = bool(np.nanmin(cost.values) > 0)
    place = np.log(cost.values[known]) if log else cost.values[known]
    middle = (place.min() + place.max()) / 2
    tables[f"points of {name}"] = [_point(result, cost, quality, i) for i in known]
    tables[f"frontier of {name}"] = [
        {
            **_point(result, cost, quality, i),
            "left": bool((np.log(cost.values[i]) if log else cost.values[i]) <= middle),
        }
        for i in best[:MOST_NAMED]
    ]
    at = {
        "x": axis("x", "cost", _label(cost.name), log=log),
        "y": axis("y", "quality", f"{_label(quality.name)}, {better} is better", log=False),
    }
    ends = alt.Chart(alt.NamedData(f"frontier of {name}"))
    layers = [
        alt.Chart(alt.NamedData(f"points of {name}")).mark_point(filled=True, size=25, color="#999").encode(**at),
        ends.mark_line(interpolate="step-after", color=COLOURS[0], point={"color": COLOURS[0], "size": 30}).encode(
            **at
        ),
    ]
    up = 1 if quality.better == "min" else -1  # to the side where the frontier's steps are not
    for left in (True, False):  # names of the right half stand to the left of their points, or they are cut off
        text = {"fontSize": 8, "align": "left" if left else "right", "dx": 4 if left else -4, "limit": WIDTH // 2}
        text |= {"dy": -6 * up if left else 6 * up, "aria": False}
        half = ends.transform_filter("datum.left" if left else "!datum.left")
        layers.append(half.mark_text(**text).encode(**at, text="point:N"))
    return panel(layers, "frontier")


def _point(result: Pareto, cost: Cost, quality: Quality, i: int) -> Row:
    return {"point": result.names[i], "cost": float(cost.values[i]), "quality": float(quality.values[i])}


def _reversals(result: Pareto, name: str, tables: dict[str, list[Row]]) -> Any:
    """Return the panel of upstream and downstream quality, with a line between the two points of each reversal."""
    alt = import_altair()
    upstream = next(row["upstream"] for row in result.correlations if row["downstream"] == name)
    both = zip(result.names, result.values[upstream].tolist(), result.values[name].tolist(), strict=True)
    tables[f"points of {name}"] = [
        {"point": point, "upstream": a, "downstream": b} for point, a, b in both if np.isfinite(a) and np.isfinite(b)
    ]
    reversals = [row for row in result.reversals if row["downstream"] == name][:MOST_REVERSALS]
    tables[f"reversals of {name}"] = [
        {"pair": i, "upstream": a, "downstream": b, "within_noise": bool(row["within_noise"])}
        for i, row in enumerate(reversals)
        for a, b in zip(row["upstream_values"], row["downstream_values"], strict=True)
    ]
    at = {
        "x": axis("x", "upstream", _label(upstream), log=False),
        "y": axis("y", "downstream", _label(name), log=False),
    }
    dashes = alt.StrokeDashValue([1, 0], condition={"test": "datum.within_noise", "value": [2, 3]})
    lines = alt.Chart(alt.NamedData(f"reversals of {name}")).mark_line(color=COLOURS[1], opacity=0.7)
    points = alt.Chart(alt.NamedData(f"points of {name}")).mark_point(filled=True, size=25, color="#555").encode(**at)
    return panel(
        [lines.encode(**at, detail="pair:N", strokeDash=dashes), points], "pairs that reverse (dotted: within noise)"
    )


def _label(name: str) -> str:
    """Return the label of an axis: the name of a column or quantity, with its unit where that is known."""
    units = {"flops": FLOPS, "loss": f"{name} (nats/token)", "tokens": TOKENS}
    return units.get(quantity_of(name) or "", name)
