"""Result files of lighteval, and of the Open LLM Leaderboard, whose tasks are called `suite|task|examples`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .content import ResultContent, Score, entry, limit_of, metrics_of, text

PROGRAM = "lighteval"
_SHOTS = re.compile(r"\d{1,6}")
AVERAGE = "all"  # the average over all tasks of a file


def parse_lighteval(content: Mapping[str, Any]) -> ResultContent | None:
    """Return the content of a result file of lighteval; None where it is no such file.

    Args:
        content: the file, parsed.
    """
    general = content.get("config_general")
    tasks = {key: values for key, values in entry(content, "results").items() if isinstance(values, dict)}
    if not isinstance(general, dict) or not tasks:
        return None
    model = entry(general, "model_config")
    return ResultContent(
        program=PROGRAM,
        scores=tuple(_scores(tasks, limit_of(general.get("max_samples")), _directions(content))),
        evaluated=text(model, "model_name", "pretrained") or text(general, "model_name"),
        revision=text(model, "revision") or text(general, "model_revision", "revision"),
    )


def _scores(
    tasks: Mapping[str, Mapping[str, Any]], limit: float | None, directions: Mapping[str, bool | None]
) -> Iterator[Score]:
    names = {key: _split(key) for key in tasks}
    shots_of_all = {shots for key, (_, _, shots) in names.items() if key != AVERAGE}
    for key, values in tasks.items():
        suite, task, shots = names[key]
        if key == AVERAGE:
            if len(tasks) == 2:
                continue  # the one other task again
            shots = next(iter(shots_of_all)) if len(shots_of_all) == 1 else None
        for metric, value, error in metrics_of(values):
            higher = directions.get(metric)
            yield Score(task, metric, value, error, shots, limit, suite, higher)


def _split(key: str) -> tuple[str | None, str, int | None]:
    """Return suite, task and number of examples of a key `suite|task|examples`, `task|examples` or `suite|task|5|0`."""
    parts = key.split("|")
    if len(parts) >= 3 and _SHOTS.fullmatch(parts[2]):
        return parts[0], parts[1], int(parts[2])
    if len(parts) == 2 and _SHOTS.fullmatch(parts[1]):
        return None, parts[0], int(parts[1])
    return None, key, None


def _directions(content: Mapping[str, Any]) -> dict[str, bool | None]:
    """Return a dict: metric -> whether higher is better, from the tasks' settings; None where the tasks differ."""
    directions: dict[str, bool | None] = {}
    for task in entry(content, "config_tasks").values():
        metrics = (task.get("metrics") or task.get("metric")) if isinstance(task, dict) else None
        for metric in metrics if isinstance(metrics, list) else []:
            if not isinstance(metric, dict):
                continue
            name, higher = metric.get("metric_name"), metric.get("higher_is_better")
            pairs = higher if isinstance(higher, dict) else {name: higher}
            for key, value in pairs.items():
                if isinstance(key, str) and isinstance(value, bool):
                    directions[key] = value if directions.get(key, value) == value else None
    return directions
