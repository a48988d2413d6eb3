"""TensorBoard event files, and folders of them: a tag becomes a column, a folder a model."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from degen.errors import DegenError
from degen.hints import some_names
from degen.paths import natural_order

from .log_rows import open_log
from .open_table import OpenTable
from .reader import Reader
from .records import counted, records_to_table
from .table_file import stem

NEEDS = "TensorBoard event files need an extra: pip install 'degen-lm[tensorboard]'"
_IN_NAME = ".tfevents."
_OVER_SAMPLES = re.compile(r".* vs\.? (?:samples|tokens)", re.IGNORECASE)  # Megatron's, whose steps count samples
_HYPERPARAMETERS = "_hparams_/session_start_info"
Row = dict[str, Any]


def is_event_file(path: Path) -> bool:
    """Return whether a file is one of TensorBoard events, by its name, as TensorBoard itself does."""
    return _IN_NAME in path.name


def has_event_files(folder: Path) -> bool:
    """Return whether a folder holds event files, at any depth."""
    return next(_event_files(folder), None) is not None


def read_event_file(path: Path, warn: Callable[[str], None]) -> OpenTable:
    """Return the scalars of one event file as a table; see `read_event_files`."""
    return _open({path.parent.resolve().name or stem(path): [path]}, path)


def read_event_files(folder: Path, warn: Callable[[str], None]) -> OpenTable:
    """Return the scalars of all event files in a folder as a table, a model for each folder that holds some.

    The files of a folder are one training, in the order of their names, which begin with the time. Values that
    TensorBoard would discard as undone, behind the step of a restart that says so, are left out.

    Args:
        folder: the folder.
        warn: not called.

    Raises:
        DegenError: package `tensorboard` is not installed, a file cannot be read, or none holds a scalar.
    """
    runs: dict[str, list[Path]] = {}
    files = sorted(_event_files(folder), key=lambda file: (file.parent, natural_order(file.name)))
    for parent, own in groupby(files, key=lambda file: file.parent):
        runs[parent.relative_to(folder).as_posix()] = list(own)
    if len(runs) == 1:
        (parent,) = {file.parent for file in files}
        runs = {parent.resolve().name: files}
    elif "." in runs:
        runs[stem(folder)] = runs.pop(".")
    return _open(runs, folder)


def _event_files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob(f"*{_IN_NAME}*") if file.is_file())


def _open(runs: dict[str, list[Path]], path: Path) -> OpenTable:
    rows: list[Row] = []
    undone, others = 0, Counter[str]()
    summaries = []
    for model, files in runs.items():
        own, own_others = list[Row](), Counter[str]()
        for file in files:
            undone += _read_file(file, own, own_others)
        others += own_others
        # The folder that `add_hparams` makes, which holds settings and final values of the run around it.
        if _HYPERPARAMETERS in own_others and len({row["step"] for row in own}) == 1 < len(runs):
            summaries.append(model)
        else:
            rows += [{"model": model, **row} for row in own]
    if not rows:
        raise DegenError(f"{path}: these event files hold no scalar; name a log that has some")
    table, _ = records_to_table(rows)
    named = {
        "folders of hyperparameters": summaries,
        "tags without scalars": [tag for tag in others if not _is_over_samples(tag)],
        "tags over samples and not steps": [tag for tag in others if _is_over_samples(tag)],
    }
    left_out = [counted(undone, "values before a restart")] if undone else []
    left_out += [counted(len(names), f"{things} ({some_names(names)})") for things, names in named.items() if names]
    return open_log(table, path, "TensorBoard events", left_out)


def _is_over_samples(tag: str) -> bool:
    return _OVER_SAMPLES.fullmatch(tag) is not None


def _read_file(file: Path, rows: list[Row], others: Counter[str]) -> int:
    """Add the scalars of an event file to the rows of its run, and tags of other things, or of no steps, to `others`.

    Returns:
        How many values of earlier rows were undone by a restart.
    """
    try:
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
    except ImportError as error:
        raise DegenError(f"{file}: {NEEDS}") from error
    undone = 0
    for event in LegacyEventFileLoader(str(file)).Load():
        if event.session_log.status == event.session_log.START and event.step > 0:
            kept = [row for row in rows if row["step"] < event.step]
            undone += sum(len(row) - 1 for row in rows) - sum(len(row) - 1 for row in kept)
            rows[:] = kept
        for value in event.summary.value:
            scalar = None if _is_over_samples(value.tag) else _scalar(value)
            if scalar is None:
                others[value.tag] += 1
            elif rows and rows[-1]["step"] == event.step and value.tag not in rows[-1]:
                rows[-1][value.tag] = scalar
            else:
                rows.append({"step": event.step, value.tag: scalar})
    return undone


def _scalar(value: Any) -> float | None:
    """Return the number of a value of a summary; None where it is a picture, a text or an array."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    plugin = value.metadata.plugin_data.plugin_name
    if not value.HasField("tensor") or plugin not in ("scalars", ""):
        return None
    from tensorboard.util.tensor_util import make_ndarray

    try:
        array = make_ndarray(value.tensor)
        return float(array.reshape(())) if array.size == 1 and array.dtype.kind in "fiu" else None
    except (TypeError, ValueError):
        return math.nan if plugin == "scalars" else None


FILE = Reader("TensorBoard event files", is_event_file, read_event_file)
FOLDER = Reader("TensorBoard event files", has_event_files, read_event_files)
