"""Result files of lm-evaluation-harness, from version 0.2 on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .content import ResultContent, Score, entry, is_number, limit_of, metrics_of, moment, text, whole

PROGRAM = "lm-evaluation-harness"
_NO_METRIC = ("alias", "name", "sample_len", "sample_count", "samples")  # entries of a task that are no metrics
_MODEL_KEYS = ("peft", "delta", "pretrained", "model", "path", "engine")  # as the harness names folders by them


def parse_lm_eval(content: Mapping[str, Any]) -> ResultContent | None:
    """Return the content of a result file of lm-evaluation-harness; None where it is no such file.

    Groups of tasks are tasks of their own; from version 0.4 on they stand in `results` and again in `groups`.

    Args:
        content: the file, parsed.
    """
    tasks = {task: values for task, values in entry(content, "results").items() if isinstance(values, dict)}
    if not tasks:
        return None
    groups = {task: values for task, values in entry(content, "groups").items() if isinstance(values, dict)}
    arguments = _arguments(content)
    named = {key: arguments[key] for key in _MODEL_KEYS if arguments.get(key)}
    # An adapter has a name and steps of its own; many adapters share a base model.
    evaluated = named.get("peft") or text(content, "model_name") or next(iter(named.values()), "")
    return ResultContent(
        program=PROGRAM,
        scores=tuple(_scores(groups | tasks, content)),
        evaluated=evaluated,
        revision=arguments.get("revision") or arguments.get("subfolder") or "",
        date=moment(content.get("date")),
    )


def _scores(tasks: Mapping[str, Mapping[str, Any]], content: Mapping[str, Any]) -> list[Score]:
    directions = entry(content, "higher_is_better")
    scores = []
    for task, values in tasks.items():
        shots, limit = _num_fewshot(task, content), _limit(task, content)
        for metric, value, error in metrics_of(values, _NO_METRIC):
            higher = entry(directions, task).get(metric.partition(",")[0])
            better = higher if isinstance(higher, bool) else None
            scores.append(Score(task, metric, value, error, shots, limit, higher_is_better=better))
    return scores


def _num_fewshot(task: str, content: Mapping[str, Any]) -> int | None:
    """Return how many examples a task was given; for a group, that of its tasks where they all have the same.

    Args:
        task: name of the task or group.
        content: the file.
    """
    shots, configs = entry(content, "n-shot"), entry(content, "configs")
    for names in ([task], _tasks_below(task, content)):
        for values in ([shots.get(n) for n in names], [entry(configs, n).get("num_fewshot") for n in names]):
            given = {whole(value) for value in values}
            if len(given) == 1 and None not in given:
                return given.pop()
    return whole(entry(content, "config").get("num_fewshot"))


def _tasks_below(task: str, content: Mapping[str, Any]) -> list[str]:
    """Return the tasks of a group, those of the groups in it too, each once; a task itself."""
    groups = entry(content, "group_subtasks")
    names, tasks = [task], []
    for name in names:  # grows while it is read
        members = groups.get(name)
        members = [m for m in members if isinstance(m, str)] if isinstance(members, list) else []
        names += [member for member in dict.fromkeys(members) if member not in names]
        tasks += [] if members else [name]
    return tasks


def _limit(task: str, content: Mapping[str, Any]) -> float | None:
    """Return the limit on the questions of a task; None where all of its questions were asked.

    Args:
        task: name of the task or group.
        content: the file.
    """
    limit = limit_of(entry(content, "config").get("limit"))
    counts = [entry(entry(content, "n-samples"), name) for name in _tasks_below(task, content)]
    numbers = [(count.get("original"), count.get("effective")) for count in counts]
    is_whole = all(is_number(one) and is_number(other) and other >= one for one, other in numbers)
    return None if counts and is_whole else limit


def _arguments(content: Mapping[str, Any]) -> dict[str, str]:
    """Return the arguments about the model that the harness was called with, by name; empty where they are not given.

    Old files have them as one text: `pretrained=…,revision=…`.
    """
    config = entry(content, "config")
    given = config.get("model_args")
    if isinstance(given, str):
        given = dict(item.strip().partition("=")[::2] for item in given.split(","))
    arguments = {str(k): str(v) for k, v in given.items() if v} if isinstance(given, dict) else {}
    if config.get("model_revision"):
        arguments.setdefault("revision", str(config["model_revision"]))
    return arguments
