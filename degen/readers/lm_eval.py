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

from .open_table import OpenTable
from .reader import Reader

if TYPE_CHECKING:
    import pyarrow as pa

_NO_METRIC = ("alias", "name", "sample_len", "sample_count", "samples")  # entries of a task that are no metrics
Key = tuple[str, int, str, str]  # model, step, task, metric


@dataclass(frozen=True)
class TaskResult:
    """The value of a metric of a task, its standard error (None if unknown), and the file that holds them."""

    value: float
    stderr: float | None
    file: Path


def is_results(folder: Path) -> bool:
    """Return whether a folder holds a result file of lm-evaluation-harness, at any depth."""
    return any(_results(_load(file)) for file in _files(folder))


def read_results(folder: Path, warn: Callable[[str], None]) -> pa.Table:
    """Return the results of lm-evaluation-harness in a folder, from every `*.json` at any depth that holds `results`.

    The step comes from the name of the file or of a folder around it, else from the revision or the checkpoint folder
    that was evaluated; the model's label from what was evaluated, else from the file's or the folder's name. Where
    several files give a value for the same key, that of the file whose name sorts last counts: the harness puts the
    time into the name.

    Args:
        folder: the folder.
        warn: called with a line of text where several files give the same value, or a file is not JSON.

    Returns:
        A table with the columns model, step, task, metric, value, stderr (null where unknown), sorted by model, task,
        metric, step. In the new format a metric has a filter behind its name, `acc,none`: `none` is dropped, any other
        filter is kept.

    Raises:
        DegenError: the folder has no result file or none with a number, or the step of a result file is unknown.
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
        none = "this folder has no result file of lm-evaluation-harness"
        problem = none if empty else "the result files of lm-evaluation-harness in this folder hold no number"
        raise DegenError(f"{folder}: {problem}; name the folder that `lm_eval --output_path` wrote")
    if replaced:
        old, new = replaced[0]
        warn(
            f"{folder}: {len(replaced)} values are in several files; of these files the last by name counts "
            f"(for example {new.relative_to(folder)}, not {old.relative_to(folder)})"
        )
    return _to_arrow(table)


def find_step_mark(name: str) -> tuple[RevisionStep, str] | None:
    """Return the step in a longer name, and the name without it: `pythia-160m-step1000` is step 1000 of `pythia-160m`.

    Where several parts of the name could be the step, the longest counts, and of equally long ones the last.

    Args:
        name: the name of a file or folder, without its ending.

    Returns:
        The step, and the rest of the name; None where the name has no step.
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
    """Return the content of a JSON file; an empty dict where it is not JSON, or does not contain the word "results".

    Args:
        file: the file.
        warn: called with a line of text where the file is not JSON; None for no warning.

    Raises:
        DegenError: the file cannot be read.
    """
    try:
        raw = file.read_bytes()
        content = json.loads(raw) if b'"results"' in raw else {}
    except OSError as error:
        raise DegenError(
            f"{file}: this file cannot be read ({error.strerror or error}); check its permissions, or remove it"
        ) from error
    except (ValueError, RecursionError) as error:
        if warn is not None:
            warn(f"{file}: this file is left out, because it is not valid JSON ({error})")
        return {}
    return content if isinstance(content, dict) else {}


def _results(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the results in the content of a result file: task -> name of the metric -> value; empty without any."""
    results = content.get("results")
    if not isinstance(results, dict):
        return {}
    return {task: values for task, values in results.items() if isinstance(values, dict)}


def _task_results(
    results: Mapping[str, Mapping[str, Any]], model: str, step: int, file: Path
) -> Iterator[tuple[Key, TaskResult]]:
    """Yield key and value of each result in a file; the standard error of `acc,none` is read from `acc_stderr,none`."""
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
    """Return the label of the model and the step of a result file.

    Args:
        file: the file.
        folder: the folder that the user named; folders above it are not looked at.
        content: the content of the file.

    Raises:
        DegenError: neither the names nor the content give a step.
    """
    arguments = _arguments(content)
    folders = [folder.resolve().name, *file.relative_to(folder).parts[:-1]]
    # An adapter has a name and steps of its own; many adapters share a base model.
    evaluated = str(arguments.get("peft") or content.get("model_name") or arguments.get("pretrained") or "")
    names = [file.stem, *reversed(folders), arguments.get("revision", ""), *_last_parts(evaluated)[:1]]
    mark = next(filter(None, map(find_step_mark, names)), None)
    if mark is None:
        raise DegenError(
            f"{file}: the step is unknown: neither the name of the file, nor that of a folder around it, nor the "
            "evaluated revision holds one; rename the file, as in step1000.json"
        )
    return _model(evaluated, file.stem, folders), mark[0].step or 0


def _arguments(content: Mapping[str, Any]) -> dict[str, str]:
    """Return the arguments about the model that the harness was called with, by name; empty where they are not given.

    Old files have them as one text: `pretrained=…,revision=…`.
    """
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
    """Return the label of the model: the first useful of some names, without the step in it.

    Args:
        evaluated: the path or repository that was evaluated.
        stem: the name of the file without its ending.
        folders: the names of the folders around the file, the outermost first.
    """
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


def _open(folder: Path, warn: Callable[[str], None]) -> OpenTable:
    return OpenTable(read_results(folder, warn), folder, in_order=False, kind=READER.kind)


READER = Reader("results of lm-evaluation-harness", is_results, _open)
