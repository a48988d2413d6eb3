"""Find the columns of architecture, cost and quality in a table of models, and which direction is better."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.hints import did_you_mean
from degen.metrics.curve import Better
from degen.metrics.layout import ERROR_ENDS
from degen.metrics.metric_kinds import better_of_unknown, is_loss, kind_of
from degen.readers.columns import first_column, is_numeric, texts
from degen.readers.name_words import is_training
from degen.scaling.column_names import column_of, columns_of
from degen.scaling.points import Points, Warn
from degen.scaling.quantities import ALIASES, SECONDS, TEXTS, quantity_of

ARCHITECTURE = ("architecture", "family", "model_type")
UPSTREAM = ("negative_log_perplexity", "neg_log_perplexity", "neg_log_ppl")
_NEGATED = r"neg(ative)?_log_(perplexity|perplexities|ppl)"  # minus a loss, as T5 and its kin report it


@dataclass(frozen=True, eq=False)
class Cost:
    """A column of cost, of which lower values are better.

    Attributes:
        name: name of the column or quantity.
        values: the value of each row, NaN where unknown.
    """

    name: str
    values: Floats


@dataclass(frozen=True, eq=False)
class Quality:
    """A column of quality.

    Attributes:
        name: name of the column or quantity.
        values: the value of each row, NaN where unknown.
        better: whether lower (`min`) or higher (`max`) values are better.
        errors: standard error of each value, NaN where unknown; None where the table has none.
    """

    name: str
    values: Floats
    better: Better
    errors: Floats | None = None

    @property
    def good(self) -> Floats:
        """The values, with their sign changed where lower is better, so that higher is better."""
        return self.values if self.better == "max" else -self.values


def architecture_column(points: Points, column: str | None, or_model: bool = True) -> str | None:
    """Return the name of the column of architectures; None where the table has none.

    Args:
        points: the rows.
        column: the column that the user named; None for `architecture`, `family` or `model_type`.
        or_model: whether to use the model where the table has none of those columns.

    Raises:
        DegenError: the column `column` does not exist.
    """
    names = points.table.column_names
    if column is None:
        return column_of(ARCHITECTURE, names) or (points.columns.get("model") if or_model else None)
    if column not in names:
        raise DegenError(f"{points.path}: the table has no column {column!r}; {did_you_mean(column, names)}")
    return column


def architectures(points: Points, column: str) -> list[str]:
    """Return the architecture of each row, from the column `column`.

    Raises:
        DegenError: a row has no value in the column.
    """
    labels = texts(points.table, column)
    for name, label in zip(points.names, labels, strict=True):
        if label is None or not label.strip():
            raise DegenError(
                f"{points.path}: {name} has no {column}; fill it in, or name another column with --architecture"
            )
    return [str(label) for label in labels]


def find_values(points: Points, name: str) -> Floats:
    """Return the values of a column or quantity, NaN where one is missing or infinite.

    The name of a quantity, as `parameters` or `loss`, stands for the column from which this quantity is read. Any other
    name stands for the column with that name if there is one, else for the quantity that it is another name of.

    Raises:
        DegenError: there is no such column or quantity, or it holds values that are no numbers.
    """
    quantity, is_column = quantity_of(name), name in points.table.column_names
    if quantity is None or quantity in TEXTS:
        values = points.numbers(name)
    else:
        is_quantity = name in (quantity, points.columns.get(quantity)) and points.has(quantity)
        values = points.quantity(quantity) if is_quantity or not is_column else points.numbers(name)
    return np.where(np.isfinite(values), values, np.nan)


def find_costs(points: Points, columns: Sequence[str]) -> list[Cost]:
    """Return the columns of cost.

    Args:
        points: the rows.
        columns: the names of the columns; empty for those of parameters, FLOPs and seconds that the table has.

    Raises:
        DegenError: a named column is missing, a cost is negative, or a size, tokens or compute are not positive.
    """
    names = list(dict.fromkeys(columns))
    if not names:
        names = [quantity for quantity in ("parameters", "flops") if points.has(quantity)]
        seconds = column_of(SECONDS, points.table.column_names)
        names += [seconds] if seconds is not None else []
        names = [name for name in names if not np.isnan(find_values(points, name)).all()]
    costs = [Cost(name, find_values(points, name)) for name in names]
    for cost in costs:
        positive = quantity_of(cost.name) in ("parameters", "parameters_non_embedding", "tokens", "flops")
        for row in np.flatnonzero(cost.values <= 0 if positive else cost.values < 0):
            raise DegenError(
                f"{points.path}: {points.names[row]} has {cost.name} {cost.values[row]:g}, which must be "
                f"{'above 0' if positive else '0 or more'}; correct the row or leave it out"
            )
    return costs


def find_upstream(points: Points, column: str | None, warn: Warn) -> str | None:
    """Return the name of the column of upstream quality, the quality in pre-training; None where there is none.

    A measure of data kept for evaluation goes before one of the training data, and a loss before a perplexity.

    Args:
        points: the rows.
        column: the column that the user named; None to search for `upstream`, then a loss, then a perplexity.
        warn: called with a line where several columns of losses are as good as the one that is taken.
    """
    if column is not None:
        return column
    names = points.table.column_names
    if (named := column_of(["upstream"], names)) is not None:
        return named
    if (by_user := next((q for q in ("loss", "perplexity") if q in points.named), None)) is not None:
        return points.columns[by_user]
    known = [points.columns["loss"]] if "loss" in points.columns else []
    losses = [*known, *(c for c in names if c not in known and _measures_loss(points, c))]
    perplexities = [c for c in columns_of((*UPSTREAM, *ALIASES["perplexity"]), names) if is_numeric(points.table, c)]
    candidates: list[str] = sorted([*losses, *perplexities], key=is_training)
    if not candidates:
        return None
    rivals = [c for c in losses if c != candidates[0] and is_training(c) == is_training(candidates[0])]
    if candidates[0] in losses and candidates[0] not in known and rivals:
        listed = ", ".join(map(repr, rivals))
        warn(f"{points.path}: upstream is read from {candidates[0]!r}, and not from {listed}; --upstream names another")
    return candidates[0]


def _measures_loss(points: Points, column: str) -> bool:
    filled = bool(points.table[column].null_count < len(points))
    return filled and is_loss(column) and is_numeric(points.table, column)


def find_downstream(points: Points, columns: Sequence[str], upstream: str | None) -> list[str]:
    """Return the names of the columns of downstream quality, the quality in tasks; empty where there are none.

    Args:
        points: the rows.
        columns: the columns that the user named; empty to search for names that begin with `downstream`, or else for
            accuracies and other metrics of which higher is better.
        upstream: the column of upstream quality, which is none of them; None without one.
    """
    if columns:
        return list(dict.fromkeys(columns))
    table = points.table
    numeric = [c for c in table.column_names if c != upstream and is_numeric(table, c) and not _is_error(c)]
    named = [c for c in numeric if c.lower().startswith("downstream")]
    return named or [c for c in numeric if (kind := kind_of(c)) and kind.better == "max" and not c.endswith("_rank")]


def find_quality(points: Points, name: str, directions: Mapping[str | None, Better], warn: Warn) -> Quality:
    """Return a column of quality with its direction and, where the table has them, its standard errors.

    Args:
        points: the rows.
        name: name of the column or quantity.
        directions: column -> the direction that the user gave for it; the key None holds for all others.
        warn: called with a warning where neither the user nor the name says which direction is better.

    Raises:
        DegenError: there is no such column, it holds values that are no numbers, or a loss is not positive.
    """
    values = find_values(points, name)
    is_the_loss = name == points.columns.get("loss")  # under any name
    better = directions.get(name, directions.get(None)) or _direction(name, "min" if is_the_loss else None, warn)
    if directions.keys().isdisjoint({name, None}) and better == "min" and (is_the_loss or is_loss(name)):
        for row in np.flatnonzero(values <= 0):
            raise DegenError(
                f"{points.path}: {points.names[row]} has {name} {values[row]:g}, but losses must be above 0; "
                f"correct the row, or use --better {name}=max if the losses are negated"
            )
    stem, comma, variant = name.partition(",")
    column = first_column(points.table, [f"{stem}{end}{comma}{variant}".lower() for end in ERROR_ENDS])
    return Quality(name, values, better, points.numbers(column) if column is not None else None)


def check_directions(directions: Mapping[str | None, Better], names: Sequence[str]) -> None:
    """Refuse directions that the user gave for columns that are not compared as qualities.

    Args:
        directions: column -> the direction that the user gave for it; the key None holds for all others.
        names: the columns of quality.

    Raises:
        DegenError: a direction is of a column that is not in `names`.
    """
    for name, better in directions.items():
        if name is not None and name not in names:
            hint = did_you_mean(name, names)
            raise DegenError(f"--better {name}={better}: {name} is not one of the columns of quality; {hint}")


def _direction(name: str, known: Better | None, warn: Warn) -> Better:
    """Return which values of a quality are better, `min` or `max`.

    Args:
        name: name of the column.
        known: the direction where it is known otherwise; None to go by the name, or to use `min` with a warning.
        warn: called with the warning.
    """
    words = "_".join(re.split(r"[_/,\-.:\s]+", name.lower()))
    if re.search(rf"(?:^|_){_NEGATED}(?:_|$)", words):
        return "max"
    kind = kind_of(name)
    better = known or (kind.better if kind is not None else None)
    return better if better is not None else better_of_unknown(name, warn)


def _is_error(column: str) -> bool:
    return column.lower().partition(",")[0].endswith(ERROR_ENDS)
