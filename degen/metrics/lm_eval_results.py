"""Results of lm-evaluation-harness: a folder of its JSON files, old and new format, as one table."""

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

_NO_METRIC = ("alias", "name", "sample_len", "sample_count", "samples")  # beside the metrics of a task
Key = tuple[str, int, str, str]  # model, step, task, metric


@dataclass(frozen=True)
class TaskResult:
    """One metric of a task, its standard error (None where unknown), and the file that says so."""

    value: float
    stderr: float | None
    file: Path


def is_results(folder: Path) -> bool:
    """Return whether a folder holds, at any depth, a result file of lm-evaluation-harness."""
    return any(_results(_loaded(file)) for file in _files(folder))


def read_results(folder: Path, warn: Callable[[str], None]) -> pa.Table:
    """Read the results of lm-evaluation-harness: every `*.json` in a folder, at any depth, that holds `results`.

    The step comes from the name of the file or of a folder around it, else from the revision or the checkpoint folder
    that was evaluated; the model from what was evaluated, else from the file's or the folder's name. Where several
    files give the same figure, the one whose name sorts last counts: the harness puts the time into the name.

    Args:
        folder: the folder.
        warn: called with a line of text where figures were replaced or a file is damaged.

    Returns:
        Columns model, step, task, metric, value, stderr (null where unknown), sorted by model, task, metric, step. The
        filter `none` of the new format is dropped from a metric's name, any other is kept.

    Raises:
        DegenError: no result file, none that holds a number, or one whose step nobody says.
    """
    figures: dict[Key, TaskResult] = {}
    replaced: list[tuple[Path, Path]] = []
    found = False
    for file in sorted(_files(folder), key=lambda f: (f.name, f)):
        loaded = _loaded(file, warn)
        results = _results(loaded)
        if not results:
            continue
        found = True
        model, step = _identity(file, folder, loaded)
        for key, figure in _figures(results, model, step, file):
            if key in figures:
                replaced.append((figures[key].file, file))
            figures[key] = figure
    if not figures:
        what = "the result files in it hold no number" if found else "no result file of lm-evaluation-harness in it"
        raise DegenError(f"{folder}: {what}; name the folder that `lm_eval --output_path` wrote")
    if replaced:
        old, new = replaced[0]
        warn(
            f"{folder}: {len(replaced)} figures are in several files; the one that sorts last by name counts "
            f"({new.relative_to(folder)} instead of {old.relative_to(folder)}, for one)"
        )
    return _table(figures)


def find_step_mark(name: str) -> tuple[RevisionStep, str] | None:
    """Find the step in a longer name: `pythia-160m-step1000` is step 1000 of `pythia-160m`.

    Args:
        name: a file's or folder's, without its ending.

    Returns:
        What the mark says, and the name without it; None where the name has no step. The longest mark counts, and of
        several the last.
    """
    pieces = re.split(r"([-_.\s+@]+)", name)  # words, and what is between them
    spans = [(last - first, first, last) for first in range(0, len(pieces), 2) for last in range(first, len(pieces), 2)]
    for _, first, last in sorted(spans, reverse=True):
        mark = parse_revision("".join(pieces[first : last + 1]))
        if mark is not None:
            kept = ("".join(pieces[:first]).strip("-_. +@"), "".join(pieces[last + 1 :]).strip("-_. +@"))
            return mark, "-".join(k for k in kept if k)
    return None


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.json") if p.is_file())


def _loaded(file: Path, warn: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Read a JSON file; nothing where it speaks of no results, which tokenizers and configurations do not."""
    try:
        raw = file.read_bytes()
        found = json.loads(raw) if b'"results"' in raw else {}
    except OSError as error:
        raise DegenError(f"{file}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        if warn is not None:
            warn(f"{file}: left out, not sound JSON ({error})")
        return {}
    return found if isinstance(found, dict) else {}


def _results(loaded: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the figures of each task."""
    results = loaded.get("results")
    if not isinstance(results, dict):
        return {}
    return {task: figures for task, figures in results.items() if isinstance(figures, dict)}


def _figures(
    results: Mapping[str, Mapping[str, Any]], model: str, step: int, file: Path
) -> Iterator[tuple[Key, TaskResult]]:
    """Yield the results of a file. The error of `acc,none` is called `acc_stderr,none`."""
    for task, figures in results.items():
        for key, value in figures.items():
            metric, comma, kept = key.partition(",")
            if metric in _NO_METRIC or metric.endswith("_stderr") or not _is_number(value):
                continue
            error = figures.get(f"{metric}_stderr{comma}{kept}")  # "N/A" where the harness has none
            name = metric if kept in ("", "none") else key
            yield (model, step, task, name), TaskResult(float(value), float(error) if _is_number(error) else None, file)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _identity(file: Path, folder: Path, loaded: Mapping[str, Any]) -> tuple[str, int]:
    """Return the model and the step of a result file."""
    arguments = _arguments(loaded)
    inside = file.relative_to(folder)
    folders = [folder.resolve().name, *inside.parts[:-1]]
    # An adapter has its steps and its name of its own; many share a base.
    evaluated = str(arguments.get("peft") or loaded.get("model_name") or arguments.get("pretrained") or "")
    names = [file.stem, *reversed(folders), arguments.get("revision", ""), *_last_parts(evaluated)[:1]]
    marks = (find_step_mark(name) for name in names)
    mark = next((found[0] for found in marks if found is not None), None)
    if mark is None:
        raise DegenError(
            f"{file}: no step in its name, its folders' or the revision evaluated; rename it as in step1000.json"
        )
    return _model(evaluated, file.stem, folders), mark.step


def _arguments(loaded: Mapping[str, Any]) -> dict[str, str]:
    """Return what the harness was told of the model, which old files keep as text: `pretrained=…,revision=…`."""
    config = loaded.get("config")
    config = config if isinstance(config, dict) else {}
    given = config.get("model_args")
    if isinstance(given, str):
        given = dict(item.strip().partition("=")[::2] for item in given.split(","))
    found = {str(k): str(v) for k, v in given.items()} if isinstance(given, dict) else {}
    if config.get("model_revision"):
        found.setdefault("revision", str(config["model_revision"]))
    return found


def _last_parts(path: str) -> list[str]:
    """Return the last name of a path or a repository, and the one around it."""
    return [part for part in path.split("/") if part not in ("", ".", "..", "~")][:-3:-1]


def _model(evaluated: str, stem: str, folders: list[str]) -> str:
    """Return what to call the model: by what was evaluated, by the file, or by a folder; never by a step."""
    own = "" if re.match(r"results?(?:[_-]|$)", stem) else stem
    for name in (*_last_parts(evaluated), own, *reversed(folders)):
        found = find_step_mark(name)
        rest = name if found is None else found[1]
        if rest:
            return rest
    return folders[0]


def _table(figures: Mapping[Key, TaskResult]) -> pa.Table:
    import pyarrow as pa

    keys = sorted(figures, key=lambda key: (key[0], key[2], key[3], key[1]))
    columns = {
        "model": pa.array([model for model, _, _, _ in keys], pa.string()),
        "step": pa.array([step for _, step, _, _ in keys], pa.int64()),
        "task": pa.array([task for _, _, task, _ in keys], pa.string()),
        "metric": pa.array([metric for _, _, _, metric in keys], pa.string()),
        "value": pa.array([figures[key].value for key in keys], pa.float64()),
        "stderr": pa.array([figures[key].stderr for key in keys], pa.float64()),
    }
    return pa.table(columns)
