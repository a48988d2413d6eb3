"""Figures of fits: the measured losses and the fitted law."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from degen.drawing import label_axes, new_figure, save_figure

from .fit import AnyFit
from .hoffmann import HoffmannFit
from .kaplan import KaplanFit
from .optimum import OptimumFit

_MAX_LEGEND = 12  # curves that a legend has room for


def draw_fit(fit: AnyFit, file: Path) -> None:
    """Draw a fit into a file.

    Raises:
        DegenError: matplotlib is missing, or the file cannot be written.
    """
    figure = new_figure(11, 4.5)
    if isinstance(fit, KaplanFit):
        _draw_kaplan(figure, fit)
    else:
        figure.subplots_adjust(wspace=0.4)
        left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
        if isinstance(fit, HoffmannFit):
            flops = _draw_points(figure, left, fit)
            has_optimum = fit.frontier is not None
        else:
            _draw_lines(left, fit)
            flops = np.array([row["flops"] for row in fit.rows])
            right.plot(
                flops,
                [row["parameters"] for row in fit.rows],
                ".",
                color="black",
                markersize=3,
                label="best size of a budget",
            )
            has_optimum = True
        if has_optimum:
            _draw_optimum(right, fit, flops)
    for axes in figure.axes:
        axes.grid(alpha=0.3)
    save_figure(figure, file)


def _draw_points(figure: Any, axes: Any, fit: HoffmannFit) -> Any:
    """Draw losses against compute, coloured by size, and the loss of the law's frontier.

    Returns:
        C of the points in FLOPs.
    """
    points = fit.points
    scatter = axes.scatter(points.flops, points.loss, c=np.log10(points.parameters), s=12)
    figure.colorbar(scatter, ax=axes, label="log10 parameters")
    influential = list(fit.influence.points)
    if influential:
        axes.scatter(
            points.flops[influential], points.loss[influential], s=60, facecolors="none", edgecolors="red",
            label="influential points",
        )  # fmt: skip
    if fit.frontier is not None:
        flops = np.geomspace(points.flops.min(), points.flops.max(), 100)
        best = fit.law.loss(fit.frontier.parameters(flops), fit.frontier.tokens(flops))
        axes.plot(flops, best, color="black", label="best for its compute")
        axes.legend(fontsize="x-small")
    axes.set_xscale("log")
    axes.set_xlabel("training FLOPs")
    axes.set_ylabel("loss (nats/token)")
    return points.flops


def _draw_lines(axes: Any, fit: OptimumFit) -> None:
    """Draw training curves over compute, or losses of each budget over size, and the best model of each budget."""
    for series in fit.plot_series:
        (line,) = axes.plot(*series.line, linewidth=0.8, label=series.name)
        axes.plot(series.x, series.loss, "o", markersize=2, color=line.get_color())
    column, label, size = ("flops", "training FLOPs", 3) if fit.law == "envelope" else ("parameters", "parameters", 7)
    x, loss = ([row[name] for row in fit.rows] for name in (column, "loss"))
    axes.plot(x, loss, ".", color="black", markersize=size, label="best for its compute")
    axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel("loss (nats/token)")
    if len(fit.plot_series) <= _MAX_LEGEND:
        axes.legend(fontsize="x-small")


def _draw_optimum(axes: Any, fit: Any, flops: Any) -> None:
    """Draw the best size against compute, with its interval, over the range of measured compute."""
    grid = np.geomspace(flops.min(), flops.max(), 40)
    rows = [fit.predict({"C": float(c)}) for c in grid]
    axes.plot(grid, [row["parameters"] for row in rows], color="tab:blue", label="best for its compute")
    if rows[0]["parameters_low"] is not None:
        low, high = ([row[f"parameters_{end}"] for row in rows] for end in ("low", "high"))
        axes.fill_between(grid, low, high, alpha=0.25, color="tab:blue", linewidth=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("training FLOPs")
    axes.set_ylabel("parameters")
    axes.legend(fontsize="x-small")


def _draw_kaplan(figure: Any, fit: KaplanFit) -> None:
    """Draw measured and fitted losses against the first variable of the law."""
    axes = figure.add_subplot()
    letter = fit.form.variables[0]
    order = np.argsort(fit.values[letter])
    fitted = fit.form.loss(fit.constants, tuple(fit.values[x] for x in fit.form.variables))
    axes.plot(fit.values[letter], fit.points.loss, "o", markersize=4, label="measured")
    style = "-" if len(fit.form.variables) == 1 else "x"  # losses of two variables lie on no line
    axes.plot(fit.values[letter][order], fitted[order], style, color="black", label=fit.form.formula)
    axes.set_xscale("log")
    axes.set_yscale("log")
    label_axes(axes)
    size = "parameters, all" if fit.all_parameters else "parameters, non-embedding"
    compute = "PF-days" if fit.units == "pf-days" else "FLOPs"
    axes.set_xlabel(f"{letter} ({ {'N': size, 'D': 'tokens', 'C': f'training {compute}'}[letter] })")
    axes.set_ylabel("loss (nats/token)")
    axes.legend(fontsize="small")
