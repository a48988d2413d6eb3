"""Figures of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.drawing import new_figure, save_figure
from degen.errors import DegenError

if TYPE_CHECKING:
    from degen.runs.run import Run


def plot_ranks(run: Run, file: Path) -> None:
    """Plot the loss gap against rank, a curve for every checkpoint and method, with the gap's standard error.

    Raises:
        DegenError: nothing to draw, or the file cannot be written.
    """
    rows = run.table("ranks").to_pylist() if "ranks" in run.tables else []
    if not rows:
        raise DegenError(f"{run.path}: no ranks to draw")
    figure = new_figure(7, 4.5)
    axes = figure.add_subplot()
    curves: dict[tuple[str, str, str], list[Any]] = {}
    for row in rows:
        curves.setdefault((row["model"], row["revision"], row["method"]), []).append(row)
    for (model, revision, method), points in curves.items():
        points.sort(key=lambda row: row["rank"])
        axes.errorbar(
            [row["rank"] for row in points],
            [row["loss_gap"] for row in points],
            [row["loss_gap_se"] or 0.0 for row in points],
            label=f"{model}@{revision} {method}", marker="o", markersize=3, capsize=2,
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("symlog", linthresh=0.01)
    axes.set_xlabel("rank of the LM head")
    axes.set_ylabel("loss above the full head (nats/token)")
    axes.grid(alpha=0.3)
    if len(curves) <= 12:
        axes.legend(fontsize="small")
    save_figure(figure, file)
