"""The purpose of each column of a table: model, step, metrics, standard errors, and columns that separate series."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats
from degen.checkpoints.steps import parse_revision
from degen.errors import DegenError
from degen.hints import did_you_mean
from degen.readers.columns import first_column, is_empty, is_numeric, is_text, numbers, texts
from degen.readers.name_words import is_training, is_validation, words_of
from degen.readers.step_column import find_step_columns, is_step_name

from .metric_kinds import is_loss, kind_of

if TYPE_CHECKING:
    import pyarrow as pa

MODEL = ("model", "model_name")
WIDTH = ("head_size", "hidden_size", "d_model", "width")
PARAMETERS = ("parameters", "total_params", "params", "n_params")
TOKENS = ("tokens_seen", "tokens", "training_tokens")
ERROR_ENDS = ("_stderr", "_se")
EXTREME_ENDS = ("_jackknife_min", "_jackknife_max")
SOLE_ERRORS = ("value_stderr", "value_se", "stderr", "se")
NUMBERED = ("seed", "layer", "num_fewshot", "limit")  # number columns that separate series
# Columns whose values belong to different series even where each stands at one step alone.
ALWAYS_APART = ("task", "num_fewshot", "limit")

# Text columns that differ between the checkpoints of one series.
NAMES_CHECKPOINT = frozenset(
    {"revision", "stage", "architecture", "reason", "status", "duplicate_of", "head_sha256", "date", "path", "file"}
    | {"head_tail_reason", "frequency_reason"}
)
# Number columns that are metrics only where a user names them.
FACTS = frozenset(
    {*WIDTH, *PARAMETERS, *TOKENS, *SOLE_ERRORS, *NUMBERED, "parameters_non_embedding", "layers", "n_layers"}
    | {"heads", "vocab_size", "vocab_used", "tokens_scored", "epoch", "lr", "learning_rate", "batch_size"}
    | {"encoder_layers", "decoder_layers", "d_ff", "d_kv", "experts", "parameters_active", "forward_flops_per_token"}
    | {"flops", "flops_per_token", "training_flops", "seconds", "peak_rss", "time", "timestamp", "rank"}
    | {"window", "windows", "document", "documents", "index", "zero_vectors", "_runtime", "_timestamp"}
    | {"sink_sequences", "kept_positions", "tail_count", "vectors", "directions", "noise_share"}
    | {"outlier_dimension", "coordinate"}
    | {"head_tail_count", "frequency_tokens", "unargmaxable_checked"}
)
# Words in the names of what logs say about a training besides its metrics.
_FACT_WORDS = (
    r"lr|learning_rate|grad_norm|gradient_norm|epochs?|runtime|duration|elapsed|eta|time|times|timestamp|seconds|"
    r"[a-z]+_per_(?:second|sec|step|iteration|gpu|device)|flops?|total_flos|mfu|throughput|mem|memory|gpu|cpu|"
    r"tokens|samples|batch_size|momentum|beta\d?|weight_decay|gen_len|num_[a-z_]+"
)


@dataclass(frozen=True)
class Layout:
    """The purpose of each column of a table, by the names of its columns.

    Attributes:
        model: the column of the model's label; None where all rows are of one model.
        step: the column of the step.
        metric: for a long table, the column that names the metric; None for a wide table.
        metrics: the columns that hold metrics; for a long table its column of values alone.
        errors: column of a metric -> column of its standard error, for metrics that have one.
        apart: the columns that may separate several series of one model.
        other_steps: further columns that may hold the step, with other values.
        is_log: whether the table is a log of training, where a loss that does not say of what is one of training.
    """

    model: str | None
    step: str
    metric: str | None
    metrics: tuple[str, ...]
    errors: dict[str, str]
    apart: tuple[str, ...]
    other_steps: tuple[str, ...] = ()
    is_log: bool = False

    @property
    def usual(self) -> tuple[str, ...]:
        """The columns to read by default: those with the name of a known metric, or without any `likely`.

        Losses and perplexities of the training text come last.
        """
        usual = tuple(c for c in self.likely if kind_of(c)) or self.likely
        return tuple(sorted(usual, key=self._is_training_loss))

    def _is_training_loss(self, column: str) -> bool:
        kind = kind_of(column)
        if not (is_loss(column) or (kind is not None and kind.logarithmic)) or is_validation(column):
            return False
        return self.is_log or is_training(column)

    @property
    def likely(self) -> tuple[str, ...]:
        """The number columns that are neither facts nor standard errors."""
        return tuple(c for c in self.metrics if not _is_fact(c))


def read_layout(table: pa.Table, path: Path, is_log: bool = False) -> Layout:
    """Return the purpose of each column, by its name and type.

    Args:
        table: the table.
        path: file or folder of the table, for the errors.
        is_log: whether the table is a log of training.

    Raises:
        DegenError: the table has no column of steps, or one that names metrics and none of values.
    """
    model, steps = first_column(table, MODEL), find_step_columns(table)
    metric, value = first_column(table, ["metric"]), first_column(table, ["value"])
    if not steps:
        hint = did_you_mean("step", table.column_names)
        raise DegenError(f"{path}: the table has no column 'step' ({hint}); rename the column of steps to step")
    if metric is not None and not is_text(table, metric):
        metric = None
    if metric is not None and value is None:
        raise DegenError(
            f"{path}: a table with a column {metric!r} must also have a column 'value'; add it, or drop {metric!r}"
        )
    taken = {model, *steps, metric}
    free = [c for c in table.column_names if c not in taken]
    apart = [
        c
        for c in free
        if (is_text(table, c) and c.lower() not in NAMES_CHECKPOINT and kind_of(c) is None)
        or (c.lower() in NUMBERED and is_numeric(table, c))
    ]
    if metric is not None and value is not None:
        metrics = [value]
    else:
        metrics = [c for c in free if is_numeric(table, c) or (is_empty(table, c) and kind_of(c))]
        metrics = metrics or [c for c in free if is_empty(table, c)]  # an unmeasured metric is still a metric
    errors = _errors(table, metrics)
    return Layout(model, steps[0], metric, tuple(metrics), errors, tuple(apart), steps[1:], is_log)


def read_steps(table: pa.Table, column: str, path: Path) -> Floats:
    """Return the step of each row, NaN where it is missing.

    Args:
        table: the table.
        column: its column of steps: whole numbers, or text such as `1000` and `step1000`.
        path: file or folder of the table, for the errors.

    Raises:
        DegenError: a value is no whole number of 0 or more, or all are missing.
    """
    steps = _steps_in_text(table, column, path) if is_text(table, column) else numbers(table, column, path)
    wrong = steps[~np.isnan(steps) & ((steps < 0) | (steps != np.floor(steps)) | (steps > 2**53))]
    if len(wrong):
        raise DegenError(f"{path}: column {column!r} holds {wrong[0]:g}; a step must be a whole number, 0 or more")
    if np.isnan(steps).all():
        raise DegenError(f"{path}: column {column!r} has no value in any row; fill in the steps")
    return steps


def _steps_in_text(table: pa.Table, column: str, path: Path) -> Floats:
    steps = []
    for text in texts(table, column):
        name = (text or "").strip()
        if not name:
            steps.append(np.nan)
        elif (revision := parse_revision(name)) is not None and revision.step is not None:
            steps.append(float(revision.step))
        else:
            raise DegenError(f"{path}: column {column!r} holds {text!r}; a step must be written as 1000 or step1000")
    return np.array(steps, dtype=np.float64)


def _errors(table: pa.Table, metrics: Sequence[str]) -> dict[str, str]:
    """Return a dict: column of a metric -> column of its standard error, for the metrics that have one.

    It is found by its name: `loss_se`, `acc_stderr,none`, or `stderr` where the table has a single metric.
    """
    errors = {}
    for metric in metrics:
        name, comma, kept = metric.lower().partition(",")
        own = first_column(table, [f"{name}{end}{comma}{kept}" for end in ERROR_ENDS])
        if own is not None:
            errors[metric] = own
    likely = [m for m in metrics if not _is_fact(m)]
    sole = first_column(table, SOLE_ERRORS)
    if len(likely) == 1 and sole is not None:
        errors.setdefault(likely[0], sole)
    return errors


def _is_fact(column: str) -> bool:
    name = column.lower()
    if name in FACTS or is_step_name(column) or name.partition(",")[0].endswith((*ERROR_ENDS, *EXTREME_ENDS)):
        return True
    return kind_of(column) is None and _has_word(column, _FACT_WORDS)  # an `epoch_loss` is a loss


def _has_word(column: str, pattern: str) -> bool:
    return re.search(rf"(?:^|_)(?:{pattern})(?:_|$)", words_of(column)) is not None
