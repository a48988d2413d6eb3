"""Result files of lighteval, and of the Open LLM Leaderboard, whose tasks are called `suite|task|examples`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .content import ResultContent, Score, entry, is_number, limit_of, metrics_of, text

PROGRAM = "lighteval"
_SHOTS = re.compile(r"\d{1,6}")
AVERAGE = "all"  # the average over all tasks of a file
_GROUP = ":_average"  # the end of the name of an average over the tasks of a group
Name = tuple[str | None, str, int | None]  # suite, task and number of examples


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
        scores=tuple(_scores(content, tasks)),
        evaluated=text(model, "model_name", "pretrained") or text(general, "model_name"),
        revision=text(model, "revision") or text(general, "model_revision", "revision"),
    )


def _scores(content: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]]) -> Iterator[Score]:
    """Yield the scores of all tasks; an average is no score where it is over one task alone.

    The file gives as error of an average the mean of the tasks' errors; the errors of independent tasks combine as
    √Σσ² / n.

    Args:
        content: the file.
        tasks: its tasks and averages.
    """
    names, directions = {key: _split(key) for key in tasks}, _directions(content)
    limits = {key: _limit(key, content) for key in tasks}
    for key, values in tasks.items():
        suite, task, shots = names[key]
        members = _members(key, names)
        if len(members) == 1:
            continue
        if members:
            limits[key] = next((limits[member] for member in members if limits[member] is not None), None)
            shots_of_members = {names[member][2] for member in members}
            shots = next(iter(shots_of_members)) if len(shots_of_members) == 1 else None
        for metric, value, error in metrics_of(values):
            if members:
                errors = [tasks[member].get(f"{metric}_stderr") for member in members if metric in tasks[member]]
                known = [e for e in errors if is_number(e)]
                error = math.hypot(*known) / len(known) if known and len(known) == len(errors) else None
            yield Score(task, metric, value, error, shots, limits[key], suite, directions.get(metric))


def _members(key: str, names: Mapping[str, Name]) -> list[str]:
    """Return the tasks that an average is over: `all` of a file, or those of a group; none for a task.

    Args:
        key: of the task or average.
        names: key -> suite, task and number of examples, of every task and average.
    """
    suite, task, shots = names[key]
    tasks = [other for other, (_, name, _) in names.items() if other != AVERAGE and not name.endswith(_GROUP)]
    if key == AVERAGE:
        return tasks
    group = task.removesuffix(_GROUP) if task.endswith(_GROUP) else None
    if group is None:
        return []
    return [o for o in tasks if names[o] == (suite, names[o][1], shots) and names[o][1].partition(":")[0] == group]


def _limit(key: str, content: Mapping[str, Any]) -> float | None:
    """Return the limit on the questions of a task; None where all of its questions were asked."""
    configs = entry(content, "config_tasks")
    config = entry(configs, key) or entry(configs, "|".join(key.split("|")[:2]))
    original, effective = config.get("original_num_docs"), config.get("effective_num_docs")
    if is_number(original) and is_number(effective) and effective >= original > 0:
        return None
    return limit_of(entry(content, "config_general").get("max_samples"))


def _split(key: str) -> Name:
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
