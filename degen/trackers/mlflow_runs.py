"""Runs in MLflow, one for each series: in its file store, its database, or on its server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .tracked_series import TrackedSeries

IDENTITY = "degen.identity"  # the tag by which a run is found again
BATCH = 1000  # the most metrics that MLflow takes at once


def write(series: Sequence[TrackedSeries], options: Mapping[str, str]) -> list[str]:
    """Log each series into a run that is found by a tag, and return a line on each.

    Values that the run has at a step already are left as they are.
    """
    from mlflow.tracking import MlflowClient

    client: Any = MlflowClient(options.get("uri"))
    experiment = client.get_experiment_by_name(options["experiment"])
    number = experiment.experiment_id if experiment is not None else client.create_experiment(options["experiment"])
    lines = []
    for one in series:
        found = client.search_runs([number], f"tags.`{IDENTITY}` = '{one.identity}'")
        run = found[0] if found else client.create_run(number, tags={IDENTITY: one.identity}, run_name=one.name)
        added = _add(client, run, one)
        client.set_terminated(run.info.run_id)
        lines.append(f"{one.name}: {added} values added, run {run.info.run_id} of experiment {options['experiment']}")
    return lines


def _add(client: Any, run: Any, series: TrackedSeries) -> int:
    """Log the settings and values that a run has not yet, and return how many values that are."""
    import time

    from mlflow.entities import Metric, Param

    there = {
        (name, metric.step) for name in run.data.metrics for metric in client.get_metric_history(run.info.run_id, name)
    }
    now = int(time.time() * 1000)
    metrics = [
        Metric(name, value, now, step)
        for step, row in series.rows.items() for name, value in row.items() if (name, step) not in there
    ]  # fmt: skip
    known = run.data.params
    params = [Param(name, str(value)[:250]) for name, value in series.settings.items() if name not in known]
    client.log_batch(run.info.run_id, params=params)
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run.info.run_id, metrics=metrics[start : start + BATCH])
    return len(metrics)
