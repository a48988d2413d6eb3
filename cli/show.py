"""`degen show`: print the results of a run."""

from __future__ import annotations

import math
import sys
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import typer

from . import options, output
from .show_summary import missing_entry, print_summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from degen.runs.run import Run
    from degen.tables import Row


BEGINNING = 0.05  # the share of all steps in which a model that has learnt nothing yet has the best geometry
BEST = "best: after the first 5 % of the steps; last: with its standard error"
LONG = 40  # rows from which on a table of checkpoints is thinned on a terminal
LAYER_KEYS = ("model", "revision", "step", "layer", "site")


def show(
    run: options.RunFolder,
    layers: Annotated[
        bool, typer.Option("--layers", help="Show the metrics of every layer instead, a table for each.")
    ] = False,
    all_rows: Annotated[
        bool, typer.Option("--all", help="Show every checkpoint on a terminal, too, where a long series is thinned.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Show a run at a glance.

    What failed and what got worse; a table of its checkpoints; then each metric over training, with its best value and
    step, and with the standard error of the last value; then what `degen ngram --run` measured, the modules of the
    probe delta, and the kinds of matrices of the probe weights.
    """
    from degen.runs.run import read_run

    opened = read_run(run)
    rows = opened.table("layers").to_pylist() if layers else opened.checkpoints()
    if json:
        output.result_json({"run": opened.name, "rows": rows} | missing_entry(opened))
    elif layers:
        _print_layers(opened, rows)
    else:
        print_summary(opened, rows)
        print_checkpoints(opened, rows, all_rows=all_rows)
        _print_metrics(rows, opened.glance("checkpoints"))
        _print_ngrams(opened)
        _print_deltas(opened)
        _print_weights(opened)


def print_checkpoints(run: Run, rows: list[Row] | None = None, *, all_rows: bool = False) -> None:
    """Print the table of checkpoints, with the metrics that probes mark for a summary.

    On a terminal a long series is thinned; of each model the first, the last and all that failed stay.

    Args:
        run: the run.
        rows: those of its table `checkpoints`, where they are read already.
        all_rows: print all of them.
    """
    rows = rows if rows is not None else run.checkpoints()
    every = len(rows)
    if not all_rows and output.terminal_width(sys.stdout) is not None:
        rows = thin(rows, LONG)
    metrics = [m for m in run.glance("checkpoints") if any(row[m] is not None for row in rows)]
    stages = [name for name in ("stage",) if any(row.get(name) is not None for row in rows)]
    columns = ["model", "revision", *stages, "step", *metrics, "status"]
    if any(row["reason"] for row in rows):
        columns.append("reason")
    output.result_table(columns, [[row[name] for name in columns] for row in rows])
    if len(rows) < every:
        output.result(f"{len(rows)} of {every} checkpoints; degen show {run.name} --all shows every one")


def thin(rows: list[Row], most: int) -> list[Row]:
    """Return rows at even distances, of each model its first and last and all that failed; all of a short table.

    Args:
        rows: of the table `checkpoints`.
        most: rows from which on a table is long; so many stay, besides those that failed, or three of each model.
    """
    if len(rows) <= most:
        return rows
    by_model: dict[str, list[Row]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row)
    each = max(most // len(by_model), 3)
    kept = []
    for of_model in by_model.values():
        last = len(of_model) - 1
        at = {round(i * last / (each - 1)) for i in range(each)} | {
            i for i, row in enumerate(of_model) if row["status"] == "failed"
        }
        kept += [of_model[i] for i in sorted(at)]
    return kept


def _print_metrics(checkpoints: list[Row], metrics: list[str]) -> None:
    """Print every metric of every model over training."""
    by_model: dict[str, list[Row]] = {}
    for row in checkpoints:
        by_model.setdefault(row["model"], []).append(row)
    lines = []
    for model, rows in by_model.items():
        for metric in metrics:
            known = [row for row in rows if row[metric] is not None]
            if known:
                best = _best(known, metric)
                last = _with_error(known[-1][metric], known[-1].get(f"{metric}_se"))
                cells = [known[0][metric], best.get(metric), best.get("step"), last]
                lines.append([model, metric, output.sparkline(_for_plot(rows, metric)), *cells])
    if lines:
        output.result_table(["model", "metric", "over training", "first", "best", "best step", "last"], lines)
        output.result(BEST)


def _print_ngrams(run: Run) -> None:
    """Print whether the heads have fewer dimensions than the corpora that `degen ngram --run` measured last."""
    from degen.cli.ngram_tables import print_heads

    from degen.tables import NGRAM

    if NGRAM in run.tables:
        rows = run.table(NGRAM).to_pylist()
        print_heads([row for row in rows if row["dimension"] == row["head_size"]], rows)


def _print_deltas(run: Run) -> None:
    """Print what the probe delta measured of the modules of the last checkpoint of each model."""
    from degen.cli.delta_tables import print_modules

    from degen.delta.columns import DELTA

    for checkpoint, rows in _last_rows(run, DELTA):
        print_modules(rows, f"{checkpoint}, its update")


def _print_weights(run: Run) -> None:
    """Print what the probe weights measured of the kinds of matrices of the last checkpoint of each model."""
    from degen.weight_spectra.columns import WEIGHTS
    from degen.weight_spectra.summary import FIGURES, by_kind

    for checkpoint, rows in _last_rows(run, WEIGHTS):
        names = ["kind", "count", *FIGURES]
        cells = [[row[name] for name in names] for row in by_kind(rows)]
        heads = ["weights of", "count", "stable", "effective", "entropy", "/ ln n", "norm", "max/q99", "tail"]
        output.result_table(heads, cells, title=f"{checkpoint}, medians over its matrices")


def _last_rows(run: Run, table: str) -> Iterator[tuple[str, list[Row]]]:
    """Yield the last checkpoint of each model that has rows in a table, as `model@revision`, and those rows."""
    last: dict[str, dict[str, list[Row]]] = {}
    for row in run.table(table).to_pylist() if table in run.tables else ():
        last.setdefault(row["model"], {}).setdefault(row["revision"], []).append(row)
    for model, revisions in last.items():
        revision, rows = list(revisions.items())[-1]
        yield f"{model}@{revision}", rows


def _for_plot(rows: Sequence[Row], metric: str) -> Sequence[float]:
    """Return the values of a metric as `degen saturation` draws them."""
    import numpy as np

    from degen.metrics.curve import values_for_plot

    counted = _counted_by(rows)
    places = np.array([row[counted] or 0 for row in rows], dtype=np.int64)
    return values_for_plot(np.array([row[metric] for row in rows], dtype=np.float64), places)


def _best(rows: Sequence[Row], metric: str) -> Row:
    """Return the row with the best value of a metric, the earliest of several; empty for an unknown metric.

    The beginning of training is left out, as `degen saturation` does.
    """
    from degen.metrics.metric_kinds import kind_of

    kind = kind_of(metric)
    counted = _counted_by(rows)
    first = BEGINNING * max((row[counted] for row in rows if row[counted] is not None), default=0)
    later = [row for row in rows if math.isfinite(row[metric]) and (row[counted] is None or row[counted] >= first)]
    if kind is None or not later:
        return {}
    return (min if kind.better == "min" else max)(later, key=lambda row: row[metric])


def _counted_by(rows: Sequence[Row]) -> str:
    """Return the column that counts the course of training: steps, or tokens where steps begin anew."""
    steps = [row["step"] for row in rows if row["step"] is not None]
    anew = any(after <= before for before, after in pairwise(steps))
    return "tokens_seen" if anew and all(row["tokens_seen"] is not None for row in rows) else "step"


def _with_error(value: float, error: float | None) -> str:
    """Return a value with its standard error, where it has one."""
    return output.format_cell(value) + (f" ± {error:.2g}" if error is not None else "")


def _print_layers(run: Run, rows: list[Row]) -> None:
    """Print a table for each metric of the layers: a row for each checkpoint, a column for each layer and site.

    Behind them is each reason why figures are missing or biased, once, with the number of rows that give it.
    """
    sites = list(dict.fromkeys((row["layer"], row["site"]) for row in rows))
    heads = [str(layer) if site == "block" else f"{layer} {site}" for layer, site in sites]
    checkpoints: dict[tuple[str, str], dict[tuple[int, str], Row]] = {}
    for row in rows:
        checkpoints.setdefault((row["model"], row["revision"]), {})[row["layer"], row["site"]] = row
    others = (*LAYER_KEYS, "reason")
    metrics = [c for c in run.columns("layers") if c not in others and not c.endswith("_se")]
    for metric in metrics:
        if any(row[metric] is not None for row in rows):
            cells = [
                [*name, *(of_site.get(site, {}).get(metric) for site in sites)] for name, of_site in checkpoints.items()
            ]
            output.result_table(["model", "revision", *heads], cells, title=f"{metric} by layer")
    reasons = Counter(reason for row in rows for reason in (row.get("reason") or "").split("; ") if reason)
    for reason, times in reasons.items():
        output.result(f"{times} of {output.count(len(rows), 'row')}: {reason}")
