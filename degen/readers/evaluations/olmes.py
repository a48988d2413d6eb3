"""Result files of OLMES: `task-000-NAME-metrics.json` of one task, `metrics.json` and `metrics-all.jsonl` of all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from .content import ResultContent, Score, entry, limit_of, metrics_of, text, whole

PROGRAM = "OLMES"
OWN_NAMES = re.compile(r"task-\d+-|metrics(?:-all)?$")  # of files, as it gives them
_NO_METRIC = ("num_instances", "task_idx", "processing_time")
_LOWER = ("bits_per_byte", "ppl", "perplexity", "loss")  # primary metrics of which lower values are better
_LIKELIHOODS = ("sum_logits_corr", "logits_per_token_corr", "logits_per_char_corr")  # log-likelihoods of the answer


def parse_olmes(content: Mapping[str, Any]) -> ResultContent | None:
    """Return the content of a result file of OLMES, or of a line of `metrics-all.jsonl`; None where it is none.

    Args:
        content: the file or the line, parsed.
    """
    if isinstance(content.get("metrics"), dict) and isinstance(content.get("task_config"), dict):
        tasks = [content]
    else:
        listed = content.get("metrics") if isinstance(content.get("metrics"), list) else content.get("tasks")
        tasks = [task for task in listed if isinstance(task, dict)] if isinstance(listed, list) else []
        tasks = [task for task in tasks if isinstance(task.get("task_config"), dict)]
    if not tasks:
        return None
    model = entry(content, "model_config")
    return ResultContent(
        program=PROGRAM,
        scores=tuple(score for task in tasks for score in _scores(task)),
        evaluated=_path(model) or text(model, "model"),
        revision=text(model, "revision"),
        date=_date(text(content, "current_date")),
    )


def _scores(task: Mapping[str, Any]) -> Iterator[Score]:
    """Yield the scores of a task; in `metrics.json` they stand beside its settings, else in a record of their own."""
    config = entry(task, "task_config")
    # The alias tells the forms of a task apart: arc_easy:rc::olmes, arc_easy:mc::olmes.
    name = text(entry(config, "metadata"), "alias") or text(task, "alias", "task_name", "task")
    name = name or text(config, "task_name")
    values = task["metrics"] if isinstance(task.get("metrics"), dict) else task
    primary = text(config, "primary_metric")
    higher = dict.fromkeys(_LIKELIHOODS, True)
    higher["primary_score"] = not any(word in primary for word in _LOWER)
    for record in (values, entry(values, "extra_metrics")):
        for metric, value, error in metrics_of(record, _NO_METRIC):
            shots, limit = whole(config.get("num_shots")), limit_of(config.get("limit"))
            yield Score(name, metric, value, error, shots, limit, higher_is_better=higher.get(metric))


def _path(model: Mapping[str, Any]) -> str:
    """Return the path of the model, without a scheme such as `s3:`; an empty text where it has none."""
    path = model.get("model_path")
    first = path[0] if isinstance(path, list) and path else path
    return first.partition("://")[2] or first if isinstance(first, str) else ""


def _date(written: str) -> float | None:
    """Return a time written as `2025-01-31 12:00:00 UTC` in seconds since 1970; None for any other text."""
    try:
        return datetime.strptime(written, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
