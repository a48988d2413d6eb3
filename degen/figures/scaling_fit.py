"""A fitted scaling law: the measured losses with the law, and the best size against compute."""

from __future__ import annotations

from typing import Any

import numpy as np

from degen.arrays import Floats
from degen.scaling.fit import AnyFit
from degen.scaling.hoffmann import HoffmannFit
from degen.scaling.kaplan import KaplanFit
from degen.scaling.optimum import OptimumFit
from degen.tables import Row

from .figure import Figure, specification
from .packages import import_altair
from .panels import FLOPS, PARAMETERS, axis, beside, panel
from .style import COLOURS, COUNTS, SEQUENTIAL

NAME, TITLE = "scaling-fit", "Scaling law"
LOSS = "loss (nats/token)"
MOST_LEGEND = 12  # curves that a legend has room for


def draw_fit(fit: AnyFit) -> Figure:
    """Return the figure of a fit."""
    if isinstance(fit, KaplanFit):
        return _kaplan(fit)
    tables: dict[str, list[Row]] = {}
    if isinstance(fit, HoffmannFit):
        left, flops = _points(fit, tables), fit.points.flops
        right = [] if fit.frontier is None else _optimum(fit, flops, tables)
    else:
        left, flops = _curves(fit, tables), np.array([row["flops"] for row in fit.rows])
        tables["best sizes"] = [{"flops": row["flops"], "parameters": row["parameters"]} for row in fit.rows]
        alt = import_altair()
        points = alt.Chart(alt.NamedData("best sizes")).mark_point(filled=True, size=14, color="black")
        encoded = points.encode(x=axis("x", "flops", FLOPS, log=True), y=axis("y", PARAMETERS, PARAMETERS, log=True))
        right = [*_optimum(fit, flops, tables), encoded]
    panels = [panel(layers) for layers in (left, right) if layers]
    description = f"Losses against compute with the law that was fitted to {len(next(iter(tables.values())))} of them"
    description += ", and the best size against compute." if right else "."
    return Figure(NAME, TITLE, description, specification(beside(panels), description), tables)


def _points(fit: HoffmannFit, tables: dict[str, list[Row]]) -> list[Any]:
    """Return the layers of losses against compute, coloured by size, with the loss of the law's frontier."""
    alt = import_altair()
    points = fit.points
    influential = set(fit.influence.points)
    tables["losses"] = [
        {"flops": float(c), "loss": float(loss), "parameters": float(n), "influential": i in influential}
        for i, (c, loss, n) in enumerate(zip(points.flops, points.loss, points.parameters, strict=True))
    ]
    x, y = axis("x", "flops", FLOPS, log=True), axis("y", "loss", LOSS, log=False)
    colour = alt.Color(PARAMETERS, type="quantitative", title=PARAMETERS)
    colour = colour.scale(type="log", scheme=SEQUENTIAL).legend(orient="top", gradientLength=160, labelExpr=COUNTS)
    losses = alt.Chart(alt.NamedData("losses"))
    layers = [losses.mark_point(filled=True, size=25, opacity=1).encode(x=x, y=y, color=colour)]
    if influential:
        ringed = losses.transform_filter("datum.influential").mark_point(filled=False, size=110, color=COLOURS[1])
        layers.append(ringed.encode(x=x, y=y))
    if fit.frontier is not None:
        flops = np.geomspace(points.flops.min(), points.flops.max(), 100)
        best = fit.law.loss(fit.frontier.parameters(flops), fit.frontier.tokens(flops))
        tables["frontier"] = _rows(flops=flops, loss=best)
        layers.append(alt.Chart(alt.NamedData("frontier")).mark_line(color="black").encode(x=x, y=y))
    return layers


def _curves(fit: OptimumFit, tables: dict[str, list[Row]]) -> list[Any]:
    """Return the layers of training curves over compute, or of losses of each budget over size, and the best models."""
    alt = import_altair()
    column, label = ("flops", FLOPS) if fit.law == "envelope" else ("parameters", PARAMETERS)
    names = [series.name for series in fit.plot_series]
    tables["losses"] = [row for s in fit.plot_series for row in _rows({"series": s.name}, **{column: s.x}, loss=s.loss)]
    tables["fitted"] = [
        row for s in fit.plot_series for row in _rows({"series": s.name}, **{column: s.line[0]}, loss=s.line[1])
    ]
    tables["best"] = [{column: row[column], "loss": row["loss"]} for row in fit.rows]
    x, y = axis("x", column, label, log=True), axis("y", "loss", LOSS, log=False)
    legend = alt.Legend(title=None, orient="top", columns=3) if len(names) <= MOST_LEGEND else None
    colour = alt.Color("series", type="nominal", legend=legend)
    colour = colour.scale(domain=names, range=[COLOURS[i % len(COLOURS)] for i in range(len(names))])
    return [
        alt.Chart(alt.NamedData("fitted")).mark_line(strokeWidth=1).encode(x=x, y=y, color=colour),
        alt.Chart(alt.NamedData("losses")).mark_point(filled=True, size=10).encode(x=x, y=y, color=colour),
        alt.Chart(alt.NamedData("best")).mark_point(filled=True, size=25, color="black").encode(x=x, y=y),
    ]


def _optimum(fit: HoffmannFit | OptimumFit, flops: Floats, tables: dict[str, list[Row]]) -> list[Any]:
    """Return the layers of the best size against compute, with its interval, over the range of measured compute."""
    alt = import_altair()
    grid = np.geomspace(flops.min(), flops.max(), 40)
    rows = [fit.predict({"C": float(c)}) for c in grid]
    names = ("flops", "parameters", "parameters_low", "parameters_high")
    tables["optimum"] = [
        {**{n: row.get(n) for n in names}, "flops": float(c)} for c, row in zip(grid, rows, strict=True)
    ]
    x, y = axis("x", "flops", FLOPS, log=True), axis("y", PARAMETERS, PARAMETERS, log=True)
    data = alt.Chart(alt.NamedData("optimum"))
    line = data.mark_line(color=COLOURS[0]).encode(x=x, y=y)
    if rows[0]["parameters_low"] is None:
        return [line]
    low = axis("y", "parameters_low", PARAMETERS, log=True)
    return [data.mark_area(color=COLOURS[0], opacity=0.2).encode(x=x, y=low, y2="parameters_high"), line]


def _kaplan(fit: KaplanFit) -> Figure:
    """Return the figure of measured and fitted losses against the first variable of the law."""
    alt = import_altair()
    letter = fit.form.variables[0]
    order = np.argsort(fit.values[letter])
    fitted = fit.form.loss(fit.constants, tuple(fit.values[x] for x in fit.form.variables))
    x_values = fit.values[letter][order]
    tables = {"losses": _rows(x=x_values, measured=fit.points.loss[order], fitted=fitted[order])}
    size = "parameters, all" if fit.all_parameters else "parameters, non-embedding"
    compute = "PF-days" if fit.units == "pf-days" else "FLOPs"
    x = axis("x", "x", f"{letter} ({ {'N': size, 'D': 'tokens', 'C': f'training {compute}'}[letter] })", log=True)
    data = alt.Chart(alt.NamedData("losses"))
    mark = data.mark_line(color="black")
    if len(fit.form.variables) > 1:  # losses of two variables lie on no line
        mark = data.mark_point(shape="cross", filled=True, color="black", size=30)
    measured = data.mark_point(filled=True, size=35, color=COLOURS[0])
    layers = [
        measured.encode(x=x, y=axis("y", "measured", LOSS, log=True)),
        mark.encode(x=x, y=axis("y", "fitted", LOSS, log=True)),
    ]
    description = f"Measured losses, in blue, and the law {fit.form.formula}, in black, against {letter}."
    chart = panel(layers, fit.form.formula)
    return Figure(NAME, TITLE, description, specification(chart, description), tables)


def _rows(same: Row | None = None, **columns: Floats) -> list[Row]:
    """Return rows of columns of numbers, with the same further values in each."""
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [{**(same or {}), **dict(zip(columns, row, strict=True))} for row in values]
