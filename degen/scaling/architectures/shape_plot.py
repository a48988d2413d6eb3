"""Figure of `degen scaling shapes`: the elasticity of each quality in each knob, with its interval."""

from __future__ import annotations

from pathlib import Path

from degen.drawing import new_figure, save_figure
from degen.errors import DegenError

from .knob_effects import OTHER_KNOBS
from .shape_report import ShapeReport


def draw_shapes(result: ShapeReport, file: Path) -> None:
    """Draw a panel for each quality: the elasticity in each knob at equal other knobs, of each architecture.

    Raises:
        DegenError: no elasticity could be told, or the file cannot be written.
    """
    rows = [row for row in result.rows if row["equal"] == OTHER_KNOBS and row["elasticity"] is not None]
    if not rows:
        raise DegenError(f"--plot {file}: there is nothing to draw, because no knob's effect can be told")
    qualities = list(dict.fromkeys(row["quality"] for row in rows))
    knobs = list(dict.fromkeys(row["knob"] for row in rows))
    labels = list(dict.fromkeys(row["architecture"] for row in rows))
    figure = new_figure(3.6 * len(qualities) + 0.8, 0.9 + 0.28 * len(knobs) * len(labels))
    for i, quality in enumerate(qualities):
        panel = figure.add_subplot(1, len(qualities), i + 1)
        for j, label in enumerate(labels):
            own = [row for row in rows if (row["quality"], row["architecture"]) == (quality, label)]
            heights = [knobs.index(row["knob"]) + 0.6 * (j + 0.5) / len(labels) - 0.3 for row in own]
            panel.errorbar(
                [row["elasticity"] for row in own], heights, fmt="o", markersize=4, label=label,
                xerr=[[row["elasticity"] - row["elasticity_low"] for row in own],
                      [row["elasticity_high"] - row["elasticity"] for row in own]],
            )  # fmt: skip
        panel.axvline(0, color="0.6", linewidth=0.8)
        panel.set_yticks(range(len(knobs)), knobs if i == 0 else [""] * len(knobs))
        panel.set_ylim(len(knobs) - 0.5, -0.5)
        panel.set_xlabel(f"% of {quality} for 1 % more of the knob")
        if i == 0 and len(labels) > 1:
            panel.legend(fontsize="x-small")
    save_figure(figure, file)
