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


def _num_fewshot(task: str, content: Mapping[str, Any], above: tuple[str, ...] = ()) -> int | None:
    """Return how many examples a task was given; for a group, that of its tasks where they all have the same.

    Args:
        task: name of the task or group.
        content: the file.
        above: the groups that it was reached from, so that a group in itself ends.
    """
    for value in (entry(content, "n-shot").get(task), entry(entry(content, "configs"), task).get("num_fewshot")):
        if (shots := whole(value)) is not None:
            return shots
    tasks = entry(content, "group_subtasks").get(task)
    names = [t for t in tasks if isinstance(t, str) and t not in (*above, task)] if isinstance(tasks, list) else []
    of_tasks = {_num_fewshot(name, content, (*above, task)) for name in names}
    return of_tasks.pop() if len(of_tasks) == 1 else whole(entry(content, "config").get("num_fewshot"))


def _limit(task: str, content: Mapping[str, Any]) -> float | None:
    """Return the limit on the questions of a task; None where all of its questions were asked."""
    counts = entry(entry(content, "n-samples"), task)
    original, effective = counts.get("original"), counts.get("effective")
    if is_number(original) and is_number(effective) and effective >= original:
        return None
    return limit_of(entry(content, "config").get("limit"))


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
