"""Results of lm-evaluation-harness: a folder of its JSON files, in the old or the new format, as one table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from degen.checkpoints.steps import RevisionStep, parse_revision
from degen.errors import DegenError

if TYPE_CHECKING:
    import pyarrow as pa

_NO_METRIC = ("alias", "name", "sample_len", "sample_count", "samples")  # entries of a task that are no metrics
Key = tuple[str, int, str, str]  # model, step, task, metric


@dataclass(frozen=True)
class TaskResult:
    """The value of a metric of a task, its standard error (None if unknown), and the file it is from."""

    value: float
    stderr: float | None
    file: Path


def is_results(folder: Path) -> bool:
    """Return whether a folder holds a result file of lm-evaluation-harness, at any depth."""
    return any(_results(_load(file)) for file in _files(folder))


def read_results(folder: Path, warn: Callable[[str], None]) -> pa.Table:
    """Read the results of lm-evaluation-harness: every `*.json` in a folder, at any depth, that holds `results`.

    The step comes from the name of the file or of a folder around it, else from the revision or the checkpoint folder
    that was evaluated; the model's label from what was evaluated, else from the file's or the folder's name. Where
    several files give a value for the same key, that of the file whose name sorts last counts: the harness puts the
    time into the name.

    Args:
        folder: the folder.
        warn: called with a line of text where values were replaced or a file is damaged.

    Returns:
        Columns model, step, task, metric, value, stderr (null where unknown), sorted by model, task, metric, step. The
        filter `none` of the new format is dropped from a metric's name, any other is kept.

    Raises:
        DegenError: no result file, none that holds a number, or one whose step is unknown.
    """
    table: dict[Key, TaskResult] = {}
    replaced: list[tuple[Path, Path]] = []
    empty = True
    for file in sorted(_files(folder), key=lambda f: (f.name, f)):
        content = _load(file, warn)
        results = _results(content)
        if not results:
            continue
        empty = False
        model, step = _identity(file, folder, content)
        for key, result in _task_results(results, model, step, file):
            if key in table:
                replaced.append((table[key].file, file))
            table[key] = result
    if not table:
        problem = "no result file of lm-evaluation-harness in it" if empty else "the result files in it hold no number"
        raise DegenError(f"{folder}: {problem}; name the folder that `lm_eval --output_path` wrote")
    if replaced:
        old, new = replaced[0]
        warn(
            f"{folder}: {len(replaced)} figures are in several files; the one that sorts last by name counts "
            f"({new.relative_to(folder)} instead of {old.relative_to(folder)}, for one)"
        )
    return _to_arrow(table)


def find_step_mark(name: str) -> tuple[RevisionStep, str] | None:
    """Find the step in a longer name: `pythia-160m-step1000` is step 1000 of `pythia-160m`.

    Args:
        name: a file's or folder's, without its ending.

    Returns:
        The step mark, and the name without it; None where the name has no step. The longest mark counts, and of
        equally long ones the last.
    """
    pieces = re.split(r"([-_.\s+@]+)", name)  # words, and what is between them
    spans = [(last - first, first, last) for first in range(0, len(pieces), 2) for last in range(first, len(pieces), 2)]
    for _, first, last in sorted(spans, reverse=True):
        mark = parse_revision("".join(pieces[first : last + 1]), whole_name=False)
        if mark is not None and mark.step is not None:
            kept = ("".join(pieces[:first]).strip("-_. +@"), "".join(pieces[last + 1 :]).strip("-_. +@"))
            return mark, "-".join(k for k in kept if k)
    return None


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.json") if p.is_file())


def _load(file: Path, warn: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Read a JSON file; an empty result for one without the word "results", as of a tokenizer."""
    try:
        raw = file.read_bytes()
        content = json.loads(raw) if b'"results"' in raw else {}
    except OSError as error:
        raise DegenError(f"{file}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        if warn is not None:
            warn(f"{file}: left out, not sound JSON ({error})")
        return {}
    return content if isinstance(content, dict) else {}


def _results(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the values of each task."""
    results = content.get("results")
    if not isinstance(results, dict):
        return {}
    return {task: values for task, values in results.items() if isinstance(values, dict)}


def _task_results(
    results: Mapping[str, Mapping[str, Any]], model: str, step: int, file: Path
) -> Iterator[tuple[Key, TaskResult]]:
    """Yield the results of a file. The error of `acc,none` is called `acc_stderr,none`."""
    for task, values in results.items():
        for key, value in values.items():
            metric, comma, kept = key.partition(",")
            if metric in _NO_METRIC or metric.endswith("_stderr") or not _is_number(value):
                continue
            error = values.get(f"{metric}_stderr{comma}{kept}")  # "N/A" where the harness has none
            name = metric if kept in ("", "none") else key
            yield (model, step, task, name), TaskResult(float(value), float(error) if _is_number(error) else None, file)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _identity(file: Path, folder: Path, content: Mapping[str, Any]) -> tuple[str, int]:
    """Return the model and the step of a result file."""
    arguments = _arguments(content)
    folders = [folder.resolve().name, *file.relative_to(folder).parts[:-1]]
    # An adapter has a name and steps of its own; many adapters share a base model.
    evaluated = str(arguments.get("peft") or content.get("model_name") or arguments.get("pretrained") or "")
    names = [file.stem, *reversed(folders), arguments.get("revision", ""), *_last_parts(evaluated)[:1]]
    mark = next(filter(None, map(find_step_mark, names)), None)
    if mark is None:
        raise DegenError(
            f"{file}: no step in its name, its folders' or the revision evaluated; rename it as in step1000.json"
        )
    return _model(evaluated, file.stem, folders), mark[0].step or 0


def _arguments(content: Mapping[str, Any]) -> dict[str, str]:
    """Return the harness's arguments on the model; old files have them as text: `pretrained=…,revision=…`."""
    config = content.get("config")
    config = config if isinstance(config, dict) else {}
    given = config.get("model_args")
    if isinstance(given, str):
        given = dict(item.strip().partition("=")[::2] for item in given.split(","))
    arguments = {str(k): str(v) for k, v in given.items()} if isinstance(given, dict) else {}
    if config.get("model_revision"):
        arguments.setdefault("revision", str(config["model_revision"]))
    return arguments


def _last_parts(path: str) -> list[str]:
    """Return the last two names of a path or repository, the last first."""
    return [part for part in path.split("/") if part not in ("", ".", "..", "~")][:-3:-1]


def _model(evaluated: str, stem: str, folders: list[str]) -> str:
    """Return the model's label: from what was evaluated, the file or a folder, without the step in it."""
    own = "" if re.match(r"results?(?:[_-]|$)", stem) else stem
    for name in (*_last_parts(evaluated), own, *reversed(folders)):
        mark = find_step_mark(name)
        rest = name if mark is None else mark[1]
        if rest:
            return rest
    return folders[0]


def _to_arrow(results: Mapping[Key, TaskResult]) -> pa.Table:
    import pyarrow as pa

    columns = {"model": pa.string(), "step": pa.int64(), "task": pa.string(), "metric": pa.string()}
    schema = pa.schema(columns | {"value": pa.float64(), "stderr": pa.float64()})
    keys = sorted(results, key=lambda key: (key[0], key[2], key[3], key[1]))
    values = [(*key, results[key].value, results[key].stderr) for key in keys]
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in values], schema=schema)
