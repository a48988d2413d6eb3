"""Result files of evaluation harnesses, as their programs write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Values = Mapping[str, Mapping[str, float]]  # task -> metric -> value


def save(file: Path, content: Any) -> Path:
    """Write a file, as JSON unless it is text already, and the folders around it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def lm_eval_03(values: Values, model_args: str | None = None, **config: Any) -> dict[str, Any]:
    """Return what lm-evaluation-harness 0.2 and 0.3 write; `config` may hold num_fewshot and limit."""
    results = {task: _with_errors(metrics) for task, metrics in values.items()}
    settings = {"model": "hf-causal", "model_args": model_args, "num_fewshot": 0, "limit": None} | config
    return {"results": results, "versions": dict.fromkeys(values, 0), "config": settings}


def lm_eval_04(
    values: Values,
    evaluated: str,
    shots: Mapping[str, int | None] | None = None,
    groups: Mapping[str, list[str]] | None = None,
    samples: Mapping[str, tuple[int, int]] | None = None,
    **config: Any,
) -> dict[str, Any]:
    """Return what lm-evaluation-harness writes from 0.4 on.

    Args:
        values: task or group -> metric with its filter, as `acc,none` -> value.
        evaluated: path or repository of the model.
        shots: task -> few-shot setting; None for 0 everywhere.
        groups: group -> its tasks; those with values are also written under `groups`.
        samples: task -> questions that there are, and that were asked.
        config: further settings, as `limit`, or `model_args`.
    """
    groups = groups or {}
    shots = {task: 0 for task in values if task not in groups} if shots is None else shots
    results = {task: {"alias": f" - {task}", **_with_errors(metrics)} for task, metrics in values.items()}
    content: dict[str, Any] = {
        "results": results,
        "group_subtasks": dict(groups),
        "configs": {task: {"task": task, "num_fewshot": n} for task, n in shots.items()},
        "versions": dict.fromkeys(values, 1.0),
        "n-shot": dict(shots),
        "higher_is_better": {task: {key.partition(",")[0]: True for key in m} for task, m in values.items()},
        "n-samples": {task: {"original": pair[0], "effective": pair[1]} for task, pair in (samples or {}).items()},
        "config": {"model": "hf", "model_args": f"pretrained={evaluated},dtype=bfloat16", "limit": None} | config,
        "date": 1714564800.0,
        "model_source": "hf",
        "model_name": evaluated,
        "model_name_sanitized": evaluated.replace("/", "__"),
        "total_evaluation_time_seconds": "12.5",
    }
    if shown := {group: results[group] for group in groups if group in results}:
        content["groups"] = shown
    return content


def lighteval(
    values: Values, model_name: str, max_samples: int | None = None, revision: str = "main", **more: Any
) -> dict[str, Any]:
    """Return what lighteval writes: `values` by `suite|task|examples`; the average `all` is added."""
    results = {key: _with_errors(metrics) for key, metrics in values.items()}
    names = {metric for metrics in values.values() for metric in metrics}
    mean = {m: [metrics[m] for metrics in values.values() if m in metrics] for m in names}
    results["all"] = _with_errors({metric: sum(v) / len(v) for metric, v in mean.items()})
    model = {"model_name": model_name, "revision": revision, "dtype": "bfloat16"}
    general = {"lighteval_sha": "?", "num_fewshot_seeds": 1, "max_samples": max_samples, "model_config": model}
    return {
        "config_general": general | {"model_name": model_name},
        "results": results,
        "versions": dict.fromkeys(values, 0),
        "config_tasks": {},
        "summary_tasks": {},
        "summary_general": {"truncated": 0},
    } | more


def olmes_task(
    task: str, metrics: Mapping[str, float], model: Mapping[str, Any], *, alias: str | None = None, **config: Any
) -> dict[str, Any]:
    """Return what OLMES writes for a task; `config` may hold num_shots, limit and primary_metric."""
    settings = {"task_name": task, "num_shots": 0, "limit": None, "primary_metric": "acc_per_char"} | config
    settings["metadata"] = {} if alias is None else {"alias": alias}
    return {
        "task_name": task,
        "task_hash": "ab12",
        "model_hash": "cd34",
        "model_config": {"model": None, "revision": None, "model_path": None, "model_type": "hf"} | model,
        "task_config": settings,
        "compute_config": {"batch_size": "8"},
        "processing_time": 3.5,
        "current_date": "2025-02-01 12:00:00 UTC",
        "num_instances": 100,
        "metrics": dict(metrics),
        "task_idx": 0,
    }


def save_olmes(folder: Path, tasks: list[dict[str, Any]]) -> None:
    """Write the files that a run of OLMES leaves in its folder, predictions included."""
    for i, task in enumerate(tasks):
        stem = f"task-{i:03d}-{task['task_name']}"
        save(folder / f"{stem}-metrics.json", task)
        save(
            folder / f"{stem}-predictions.jsonl", '{"doc_id": 0, "metrics": {"acc_raw": 1}, "task_hash": "ab12"}\n' * 3
        )
        save(folder / f"{stem}-requests.jsonl", '{"request_type": "loglikelihood", "doc": {"results": 1}}\n')
    save(folder / "metrics-all.jsonl", "".join(json.dumps(task) + "\n" for task in tasks))
    listed = [
        {"task": t["task_name"], **t["metrics"], "num_instances": 100, "task_config": t["task_config"]} for t in tasks
    ]
    scores = [f"{t['task_name']}: {t['metrics'].get('primary_score')}" for t in tasks]
    model = {key: value for key, value in tasks[0]["model_config"].items() if value is not None}
    save(folder / "metrics.json", {"all_primary_scores": scores, "metrics": listed, "model_config": model})


def _with_errors(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics with a standard error of .01 each, named as the harnesses name it."""
    both: dict[str, float] = {}
    for key, value in metrics.items():
        metric, comma, kept = key.partition(",")
        both |= {key: value, f"{metric}_stderr{comma}{kept}": 0.01}
    return both
