"""Read results of evaluation harnesses as one table: a row for each model, step, task, metric and setting."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.errors import DegenError
from degen.readers.open_table import OpenTable
from degen.readers.reader import Reader
from degen.readers.records import encodable

from .content import Score
from .result_files import find_result_files, has_results
from .scores import ScoreKey, Scores, collect_scores

if TYPE_CHECKING:
    import pyarrow as pa

PROGRAMS = "lm-evaluation-harness, lighteval or OLMES"
Warn = Callable[[str], None]


def read_results(path: Path, warn: Warn) -> OpenTable:
    """Return the results of evaluation harnesses in a folder, at any depth, or in a file.

    Args:
        path: the folder or file.
        warn: called with a line of text where a step was evaluated twice with other results, where the step of a file
            is unknown, or where a file is not JSON.

    Returns:
        A table with the columns model, step (null where unknown), task, metric, value, stderr (null where unknown),
        sorted by model, task, metric, settings, step. Where a task was evaluated with several few-shot settings or
        limits, there are also columns num_fewshot and limit (null where all questions were asked).

    Raises:
        DegenError: the path holds no result file or none with a number, or no step is known.
    """
    damaged: list[str] = []
    files = find_result_files(path, damaged.append)
    for line in damaged:
        warn(line)
    here = "folder" if path.is_dir() else "file"
    if not files:
        raise DegenError(
            f"{path}: this {here} has no results of {PROGRAMS}; name the folder of its --output_path or --output-dir"
        )
    programs = " and ".join(sorted({f.content.program for f in files}))
    scores = collect_scores(files)
    if not scores.by_key:
        raise DegenError(
            f"{path}: the results of {programs} in this {here} hold no number; name a {here} of finished evaluations"
        )
    if all(key.step is None for key in scores.by_key):
        raise DegenError(
            f"{scores.stepless[0]}: the step is unknown: neither the name of the file, nor the evaluated revision or "
            "checkpoint, nor the name of a folder around the file holds one; rename the file, as in step1000.json"
        )
    return OpenTable(
        table=_to_arrow(scores.by_key),
        path=path,
        in_order=False,
        kind=f"results of {programs}",
        left_out=(*_count(len(damaged), "file (not valid JSON)"), *_left_out(path, scores, warn)),
        higher_is_better=_directions(scores.by_key),
        origins=scores.origins,
    )


def _left_out(path: Path, scores: Scores, warn: Warn) -> list[str]:
    """Return a phrase for each kind of score that is left out; warn of repeated scores and of unknown steps."""
    repeated = {repeat.key for repeat in scores.repeats}
    if repeated:
        last = scores.repeats[-1]
        where = "" if last.key.step is None else f"step {last.key.step}: "
        warn(
            f"{path}: {_number(len(repeated), 'value')} evaluated twice with another result; the newer file counts "
            f"({where}{_name(last.newer, path)}, not {_name(last.older, path)})"
        )
    if scores.stepless:
        warn(
            f"{path}: {_number(len(scores.stepless), 'file')} without a step, as {_name(scores.stepless[0], path)}; "
            f"rename {'it' if len(scores.stepless) == 1 else 'them'}, as in step1000.json"
        )
    return [
        *_again([repeat.key for repeat in scores.repeats], "another"),
        *_again(scores.same_again, "the same"),
        *_count(scores.averages, "average over all tasks (of other tasks in other files)"),
    ]


def _again(keys: Sequence[ScoreKey], result: str) -> list[str]:
    """Return a phrase for scores that were left out for newer ones; none for no scores."""
    steps = {key.step for key in keys}
    which = f"step {steps.pop()}" if len(steps) == 1 else f"{len(steps)} steps"
    return _count(len(keys), f"value ({which} evaluated again, with {result} result)")


def _count(count: int, thing: str) -> list[str]:
    """Return a phrase that counts things, as `2 values (no step)`; none for 0."""
    word, _, rest = thing.partition(" ")
    return [f"{_number(count, word)} {rest}"] if count else []


def _number(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _name(file: Path, path: Path) -> str:
    """Return a file's path within the folder that the user named."""
    return str(file.relative_to(path)) if file != path else file.name


def _directions(scores: Mapping[ScoreKey, Score]) -> dict[str, bool]:
    """Return a dict: metric -> whether higher is better, for the metrics on which all files that say it agree."""
    directions: dict[str, set[bool]] = defaultdict(set)
    for key, score in scores.items():
        if score.higher_is_better is not None:
            directions[key.metric].add(score.higher_is_better)
    return {metric: values.pop() for metric, values in directions.items() if len(values) == 1}


def _to_arrow(scores: Mapping[ScoreKey, Score]) -> pa.Table:
    import pyarrow as pa

    columns = {"model": pa.string(), "step": pa.int64(), "task": pa.string(), "metric": pa.string()}
    columns |= {setting: _type_of(setting, scores) for setting in _settings_that_differ(scores)}
    columns |= {"value": pa.float64(), "stderr": pa.float64()}
    rows: list[dict[str, Any]] = []
    for key in sorted(scores, key=_order):
        row = {**key._asdict(), "value": scores[key].value, "stderr": scores[key].stderr}
        rows.append({name: encodable(row[name]) if isinstance(row[name], str) else row[name] for name in columns})
    return pa.Table.from_pylist(rows, schema=pa.schema(columns))


def _order(key: ScoreKey) -> tuple[Any, ...]:
    """Return a key to sort by: model, task, metric, settings, step; what is unknown comes before 0."""
    last = float("inf") if key.step is None else key.step
    return (key.model, key.task, key.metric, *(-1 if s is None else s for s in (key.num_fewshot, key.limit)), last)


def _settings_that_differ(scores: Iterable[ScoreKey]) -> list[str]:
    """Return those of the settings in which a task was evaluated with several, of any models; unknown is none."""
    shots: dict[tuple[str, str], set[float | None]] = defaultdict(set)
    limits: dict[tuple[str, str], set[float | None]] = defaultdict(set)
    for key in scores:
        shots[key.task, key.metric] |= {key.num_fewshot} - {None}
        limits[key.task, key.metric].add(key.limit)
    differ = {"num_fewshot": shots, "limit": limits}
    return [setting for setting, values in differ.items() if any(len(known) > 1 for known in values.values())]


def _type_of(setting: str, scores: Iterable[ScoreKey]) -> pa.DataType:
    """Return the type of a setting's column: whole numbers where all are."""
    import pyarrow as pa

    values = (getattr(key, setting) for key in scores)
    return pa.int64() if all(value is None or value == int(value) for value in values) else pa.float64()


READER = Reader(f"results of {PROGRAMS}", has_results, read_results)
