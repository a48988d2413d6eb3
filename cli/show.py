"""`degen show`: print the results of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import options, output

if TYPE_CHECKING:
    from degen.runs.run import Run
    from degen.tables import Row


def show(run: options.RunFolder, json: options.Json = False) -> None:
    """Show a run at a glance.

    A table of its checkpoints, and a sparkline of each metric over training.
    """
    from degen.runs.run import read_run

    opened = read_run(run)
    if json:
        output.result_json({"run": str(opened.path), "rows": opened.checkpoints()})
        return
    rows = opened.checkpoints()
    print_checkpoints(opened, rows)
    _print_sparklines(rows, opened.glance("checkpoints"))


def print_checkpoints(run: Run, rows: list[Row] | None = None) -> None:
    """Print the table of checkpoints, with the metrics that probes mark for a summary.

    Args:
        run: the run.
        rows: those of its table `checkpoints`, where they are read already.
    """
    rows = rows if rows is not None else run.checkpoints()
    metrics = [m for m in run.glance("checkpoints") if any(row[m] is not None for row in rows)]
    columns = ["model", "revision", "step", *metrics, "status"]
    if any(row["reason"] for row in rows):
        columns.append("reason")
    output.result_table(columns, [[row[name] for name in columns] for row in rows])


def _print_sparklines(checkpoints: list[Row], metrics: list[str]) -> None:
    by_model: dict[str, list[Row]] = {}
    for row in checkpoints:
        by_model.setdefault(row["model"], []).append(row)
    lines = []
    for model, rows in by_model.items():
        for metric in metrics:
            values = [row[metric] for row in rows]
            known = [v for v in values if v is not None]
            if known:
                lines.append([model, metric, output.sparkline(values), known[0], min(known), max(known), known[-1]])
    if lines:
        output.result_table(["model", "metric", "over training", "first", "lowest", "highest", "last"], lines)
