"""Find the columns of architecture, cost and quality in a table of models, and which direction is better."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.hints import did_you_mean
from degen.metrics.columns import first_column, is_numeric, texts
from degen.metrics.curve import Better
from degen.metrics.layout import ERROR_ENDS
from degen.metrics.metric_kinds import is_loss, kind_of
from degen.scaling.points import Points, Warn
from degen.scaling.quantities import SECONDS, TEXTS, quantity_of

ARCHITECTURE = ("architecture", "family", "model_type")
UPSTREAM = ("upstream", "negative_log_perplexity", "neg_log_perplexity", "neg_log_ppl", "perplexity", "ppl")
_NEGATED = r"neg(ative)?_log_(perplexity|perplexities|ppl)"  # minus a loss, as T5 and its kin report it


@dataclass(frozen=True, eq=False)
class Cost:
    """A column of cost, of which lower is better.

    Attributes:
        name: of the column or quantity.
        values: for each row, NaN where unknown.
    """

    name: str
    values: Floats


@dataclass(frozen=True, eq=False)
class Quality:
    """A column of quality.

    Attributes:
        name: of the column or quantity.
        values: for each row, NaN where unknown.
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


def architectures(points: Points, column: str | None, or_model: bool = True) -> list[str] | None:
    """Return the architecture of each row.

    Args:
        points: the rows.
        column: the column that the user named; None for `architecture`, `family` or `model_type`.
        or_model: whether to use the model where the table has none of those columns.

    Returns:
        A label for each row; None without such a column.

    Raises:
        DegenError: the named column is missing, or a row has no value in it.
    """
    names = points.table.column_names
    if column is None:
        column = first_column(points.table, ARCHITECTURE) or (points.columns.get("model") if or_model else None)
    elif column not in names:
        raise DegenError(f"{points.path}: no column {column!r}; {did_you_mean(column, names)}")
    if column is None:
        return None
    labels = texts(points.table, column)
    for name, label in zip(points.names, labels, strict=True):
        if label is None or not label.strip():
            raise DegenError(
                f"{points.path}: {name} has no {column}; fill it in, or name another column with --architecture"
            )
    return [str(label) for label in labels]


def find_values(points: Points, name: str) -> Floats:
    """Return the values of a column or quantity, NaN where one is missing or infinite.

    `parameters`, `loss` and the like mean the quantity, in whichever column the user said it is; any other name means a
    column first and a quantity second.

    Raises:
        DegenError: there is no such column or quantity, or it holds no numbers.
    """
    quantity, is_column = quantity_of(name), name in points.table.column_names
    if quantity is None or quantity in TEXTS:
        values = points.numbers(name)
    else:
        is_quantity = name in (quantity, points.columns.get(quantity)) and points.has(quantity)
        values = points.quantity(quantity) if is_quantity or not is_column else points.numbers(name)
    return np.where(np.isfinite(values), values, np.nan)


def find_costs(points: Points, columns: Sequence[str]) -> list[Cost]:
    """Return the named columns of cost, or without names those of parameters, FLOPs and seconds that the table has.

    Raises:
        DegenError: a named column is missing, a cost is negative, or a size, tokens or compute are not positive.
    """
    names = list(dict.fromkeys(columns))
    if not names:
        names = [quantity for quantity in ("parameters", "flops") if points.has(quantity)]
        seconds = first_column(points.table, SECONDS)
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


def find_upstream(points: Points, column: str | None) -> str | None:
    """Return the column of upstream quality: the named one, or `upstream`, a loss or a perplexity; else None."""
    if column is not None:
        return column
    named = first_column(points.table, UPSTREAM)
    if named is not None and named.lower() == "upstream":
        return named
    loss = next((c for c in points.table.column_names if is_loss(c) and is_numeric(points.table, c)), None)
    return points.columns.get("loss") or loss or named


def find_downstream(points: Points, columns: Sequence[str], upstream: str | None) -> list[str]:
    """Return the columns of downstream quality: the named ones, else `downstream…`, else accuracies and the like."""
    if columns:
        return list(dict.fromkeys(columns))
    table = points.table
    numeric = [c for c in table.column_names if c != upstream and is_numeric(table, c) and not _is_error(c)]
    named = [c for c in numeric if c.lower().startswith("downstream")]
    return named or [c for c in numeric if (kind := kind_of(c)) and kind.better == "max" and not c.endswith("_rank")]


def find_quality(points: Points, name: str, directions: Mapping[str, Better], warn: Warn) -> Quality:
    """Return a column of quality with its direction and, where the table has them, its standard errors.

    Args:
        points: the rows.
        name: of the column or quantity.
        directions: directions that the user named, by column.
        warn: called with a warning where neither the user nor the name says which direction is better.

    Raises:
        DegenError: there is no such column, it holds no numbers, or a loss is not positive.
    """
    values = find_values(points, name)
    is_the_loss = name == points.columns.get("loss")  # under any name
    better = directions.get(name) or _direction(name, "min" if is_the_loss else None, warn)
    if name not in directions and better == "min" and (is_the_loss or is_loss(name)):
        for row in np.flatnonzero(values <= 0):
            raise DegenError(
                f"{points.path}: {points.names[row]} has {name} {values[row]:g}, but losses must be above 0; "
                f"correct the row, or say --direction {name}=max if losses are negated"
            )
    stem, comma, variant = name.partition(",")
    column = first_column(points.table, [f"{stem}{end}{comma}{variant}".lower() for end in ERROR_ENDS])
    return Quality(name, values, better, points.numbers(column) if column is not None else None)


def check_directions(directions: Mapping[str, Better], names: Sequence[str]) -> None:
    """Refuse directions of columns that are not compared as qualities."""
    for name, better in directions.items():
        if name not in names:
            hint = did_you_mean(name, names)
            raise DegenError(f"--direction {name}={better}: {name} is not among the columns of quality; {hint}")


def _direction(name: str, known: Better | None, warn: Warn) -> Better:
    """Return the known direction, else the one that the name implies, else `max` with a warning."""
    words = "_".join(re.split(r"[_/,\-.:\s]+", name.lower()))
    if re.search(rf"(?:^|_){_NEGATED}(?:_|$)", words):
        return "max"
    kind = kind_of(name)
    better = known or (kind.better if kind is not None else None)
    if better is None:
        warn(
            f"{name}: the name does not say which way is better; higher counts as better (else: --direction {name}=min)"
        )
        return "max"
    return better


def _is_error(column: str) -> bool:
    return column.lower().partition(",")[0].endswith(ERROR_ENDS)
