"""The figure of `degen ngram`: W-error against dimension, beside the widths of known models."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from degen.drawing import new_figure, save_figure

from .known_widths import KNOWN_WIDTHS
from .result import HALF, TENTH, NgramResult

MOST_LABELS = 14  # of curves; more find no room


def plot_w_error(result: NgramResult, file: Path) -> None:
    """Draw the curve of each measurement, with its interval where it is estimated, and of each head of the run.

    Dotted lines: the widths of known models, with the first of each width, and the levels 0.5 and 0.1.

    Raises:
        DegenError: matplotlib is missing, or the file cannot be written.
    """
    figure = new_figure(8, 5)
    axes = figure.add_subplot()
    longest = 2
    for measured in result.measurements:
        dimensions = np.arange(1, len(measured.curve.w_error))
        longest = max(longest, len(dimensions))
        (line,) = axes.plot(dimensions, measured.curve.w_error[1:], label=measured.label)
        if measured.curve.low is not None and measured.curve.high is not None:
            low, high = measured.curve.low[1:], measured.curve.high[1:]
            axes.fill_between(dimensions, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    for head in result.heads:
        dimensions = np.arange(1, len(head.curve.w_error))
        label = f"head of {head.model}@{head.revision}"
        axes.plot(dimensions, head.curve.w_error[1:], linestyle="--", label=label)
    for level in (HALF, TENTH):
        axes.axhline(level, color="gray", linestyle=":", linewidth=0.8)
    for width, models in KNOWN_WIDTHS.items():
        if width <= longest:
            axes.axvline(width, color="gray", linestyle=":", linewidth=0.8)
            axes.text(width, 1.01, models[0], rotation=90, fontsize=6, ha="center", va="bottom")
    axes.set_xscale("log")
    axes.set_xlim(1, longest)
    axes.set_ylim(0, 1)
    axes.set_xlabel("dimension d")
    axes.set_ylabel("W-error of the best approximation of rank d")
    if len(result.measurements) + len(result.heads) <= MOST_LABELS:
        axes.legend(fontsize="small", loc="lower left")
    save_figure(figure, file)
