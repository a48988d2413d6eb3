"""Tables that are logs of training, recognised by their columns: a Trainer's history, wandb's exports, Lightning's."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from degen.errors import DegenError
from degen.hints import some_names

from .log_rows import open_log
from .open_table import OpenTable
from .records import counted
from .step_column import find_step_columns, is_step_name

# A column of a chart that wandb exported: run and metric, and the least and largest value where points were binned.
_CHART = re.compile(r"(?P<run>.+) - (?P<metric>.+?)(?P<bin>__MIN|__MAX)?")


def as_log(opened: OpenTable) -> OpenTable:
    """Return a table as a log of training where its columns show that it is one; any other table as it is.

    Raises:
        DegenError: it is a log without steps.
    """
    names = set(opened.table.column_names)
    if _is_chart(names):
        return _chart(opened)
    kind = next((kind for kind, is_kind in _KINDS if is_kind(names)), None)
    return opened if kind is None else open_log(opened.table, opened.path, kind, opened.left_out)


def _is_chart(names: set[str]) -> bool:
    """Return whether columns are those of a chart: with bins, or with nothing but runs beside a column of steps."""
    if any(f"{name}__MIN" in names and f"{name}__MAX" in names and " - " in name for name in names):
        return True
    others = [name for name in names if _CHART.fullmatch(name) is None]
    return len(others) == 1 < len(names) and is_step_name(others[0])


def _is_wandb_history(names: set[str]) -> bool:
    return {"_step", "_timestamp"} <= names or {"_step", "_runtime"} <= names


def _is_trainer_history(names: set[str]) -> bool:
    of_training = {"step", "epoch", "learning_rate", "loss"} <= names
    return of_training or {"step", "epoch", "eval_loss", "eval_runtime"} <= names


def _is_lightning(names: set[str]) -> bool:
    return {"step", "epoch"} <= names and not names & {"model", "status", "revision"}


_KINDS: tuple[tuple[str, Callable[[set[str]], bool]], ...] = (
    ("wandb history", _is_wandb_history),
    ("Trainer history", _is_trainer_history),
    ("table of a logger", _is_lightning),
)


def _chart(opened: OpenTable) -> OpenTable:
    """Return a chart that wandb exported as a log with a model for each run.

    Raises:
        DegenError: its x axis is no step.
    """
    import pyarrow as pa

    table = opened.table
    series: dict[str, dict[str, str]] = {}  # run -> metric -> column
    binned = 0
    for column in table.column_names:
        match = _CHART.fullmatch(column)
        if match is None:
            continue
        if match["bin"]:
            binned += 1
        else:
            series.setdefault(match["run"], {})[match["metric"]] = column
    others = [c for c in table.column_names if _CHART.fullmatch(c) is None]
    axis = next(iter(find_step_columns(table.select(others))), None)
    if axis is None:
        raise DegenError(
            f"{opened.path}: the x axis of this chart is {some_names(others) or 'missing'}; export it with Step as the "
            "x axis"
        )
    metrics = dict.fromkeys(metric for columns in series.values() for metric in columns if metric.lower() != "_step")
    runs = []
    for run, columns in series.items():
        values = {m: table[columns[m]] if m in columns else pa.nulls(len(table), pa.float64()) for m in metrics}
        own = pa.table({"model": pa.array([run] * len(table)), axis: table[axis], **values})
        filled = np.any([np.array(own[m].is_valid().to_pylist(), dtype=bool) for m in metrics], axis=0)
        runs.append(own.filter(pa.array(filled)))
    joined = pa.concat_tables(runs, promote_options="permissive").combine_chunks()
    reasons = [counted(binned, "columns __MIN and __MAX of binned points")] if binned else []
    return open_log(joined, opened.path, "wandb chart", [*opened.left_out, *reasons])
