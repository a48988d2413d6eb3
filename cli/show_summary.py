"""What `degen show` says first: which checkpoints failed, and which metrics ended worse than at their best."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from . import output

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from degen.runs.run import Run
    from degen.tables import Row

MOST = 5  # failed checkpoints that are named, each with its reason


def print_summary(run: Run, rows: Sequence[Row]) -> None:
    """Print how many checkpoints there are, which failed and why, and what got worse.

    Args:
        run: the run.
        rows: those of its table `checkpoints`.
    """
    models = list(dict.fromkeys(row["model"] for row in rows))
    counts = Counter(row["status"] for row in rows)
    statuses = ", ".join(f"{number} {status}" for status, number in counts.items())
    output.result(f"{output.count(len(rows), 'checkpoint')} of {output.count(len(models), 'model')}: {statuses}")
    failed = [row for row in rows if row["status"] == "failed"]
    for row in failed[:MOST]:
        output.result_line("failed", f"{row['model']}@{row['revision']}: {row['reason'] or 'no reason is kept'}")
    if len(failed) > MOST:
        output.result_line("failed", f"and {len(failed) - MOST} more")
    print_missing(run)
    _print_turned(run)


def missing_entry(run: Run) -> dict[str, dict[str, list[str]]]:
    """Return the entry of a JSON document on a run that lacks checkpoints: revisions by model; none where none are."""
    return {"missing": run.missing} if run.missing else {}


def print_missing(run: Run) -> None:
    """Print how many checkpoints of each series the run does not have yet, as while other shards are at work."""
    for model, revisions in run.missing.items():
        named = ", ".join(revisions[:MOST]) + (", …" if len(revisions) > MOST else "")
        planned = len(run.info["planned"][model])
        output.result_line("missing", f"{model}: {len(revisions)} of {planned} not measured yet ({named})")


def _print_turned(run: Run) -> None:
    """Print for each model what got worse: by the verdicts that the run keeps, else by its last values alone."""
    from degen.tables import SATURATION

    is_judged = SATURATION in run.tables
    by_model: dict[str, list[str]] = {}
    for model, phrase in _saturated(run) if is_judged else _ends_worse(run):
        by_model.setdefault(model, []).append(phrase)
    for model, phrases in by_model.items():
        output.result_line("worse", f"{model}: {'; '.join(phrases)}")
    if by_model and not is_judged:
        output.result(f"degen saturation {run.name} says whether that is more than noise, and since when")


def _saturated(run: Run) -> Iterator[tuple[str, str]]:
    """Yield the model and a phrase for each metric that got worse, by the verdicts that the run keeps."""
    from degen.tables import SATURATION

    for verdict in run.table(SATURATION).to_pylist():
        if verdict["verdict"] == "saturated":
            yield verdict["model"], f"{verdict['metric']}{_since(verdict)}"


def _since(verdict: Row) -> str:
    """Return since when a metric got worse, with the interval."""
    if verdict["onset_step"] is None:
        return ""
    steps = (verdict["onset_step"], verdict["onset_low"], verdict["onset_high"])
    return f" since step {output.format_interval(*steps)}"


def _ends_worse(run: Run) -> Iterator[tuple[str, str]]:
    """Yield the model and a phrase for each metric that ends worse than its best by more than the floor that matters.

    It is no test: one best of many checkpoints is taken, which `degen saturation` allows for.
    """
    from degen.errors import DegenError
    from degen.metrics.find_curves import find_curves

    try:
        curves = find_curves(run.path, warn=lambda line: None)
    except DegenError:  # nothing was measured that could get worse
        return
    for curve in curves:
        later = curve.values[curve.axis >= 0.05 * curve.axis.max(initial=0)]
        known = later[later == later]
        if not len(known):
            continue
        best, last = (known.min() if curve.better == "min" else known.max()), known[-1]
        if (last - best if curve.better == "min" else best - last) > curve.floor:
            yield curve.model, f"{curve.metric} {output.format_cell(float(best))} → {output.format_cell(float(last))}"
