"""Which columns of a table are architectures, costs and qualities when models are compared, and which way is better."""

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
    """What a model costs: the lower the better.

    Attributes:
        name: of the column or quantity.
        values: for each row, NaN where unknown.
    """

    name: str
    values: Floats


@dataclass(frozen=True, eq=False)
class Quality:
    """How good a model is by one column.

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
        """The values, turned so that higher is better."""
        return self.values if self.better == "max" else -self.values


def architectures(points: Points, asked: str | None, or_model: bool = True) -> list[str] | None:
    """Return the architecture of each row.

    Args:
        points: the rows.
        asked: the column a user named; None for `architecture`, `family` or `model_type`.
        or_model: take the model where there is none of those.

    Returns:
        A label for each row; None where the table says nothing.

    Raises:
        DegenError: no such column, or a row without a value.
    """
    column = _there(points, asked) if asked is not None else first_column(points.table, ARCHITECTURE)
    if column is None and or_model:
        column = points.columns.get("model")
    if column is None:
        return None
    labels = texts(points.table, column)
    for name, label in zip(points.names, labels, strict=True):
        if label is None or not label.strip():
            raise DegenError(f"{points.path}: {name} has no {column}; fill it in, or name another column")
    return [str(label) for label in labels]


def find_values(points: Points, name: str) -> Floats:
    """Return a column or quantity by name, NaN where it is missing or infinite.

    `parameters`, `loss` and the like are the quantity, whichever column a user gave it; other names are columns first.

    Raises:
        DegenError: there is neither, or it holds no numbers.
    """
    quantity, there = quantity_of(name), name in points.table.column_names
    if quantity is None or quantity in TEXTS:
        values = points.numbers(name)
    else:
        meant = name in (quantity, points.columns.get(quantity)) and points.has(quantity)
        values = points.quantity(quantity) if meant or not there else points.numbers(name)
    return np.where(np.isfinite(values), values, np.nan)


def find_costs(points: Points, asked: Sequence[str]) -> list[Cost]:
    """Return the columns of costs: those asked for, or else parameters, FLOPs and seconds, where they are.

    Raises:
        DegenError: one that was asked for is missing, a cost is negative, or a size or compute not positive.
    """
    names = list(dict.fromkeys(asked))
    if not names:
        names = [quantity for quantity in ("parameters", "flops") if points.has(quantity)]
        seconds = first_column(points.table, SECONDS)
        names += [seconds] if seconds is not None else []
        names = [name for name in names if not np.isnan(find_values(points, name)).all()]
    costs = [Cost(name, find_values(points, name)) for name in names]
    for cost in costs:
        whole = quantity_of(cost.name) in ("parameters", "parameters_non_embedding", "tokens", "flops")
        for row in np.flatnonzero(cost.values <= 0 if whole else cost.values < 0):
            what = f"{points.names[row]} has {cost.name} {cost.values[row]:g}"
            raise DegenError(f"{points.path}: {what}; it is {'above 0' if whole else '0 or more'}")
    return costs


def find_upstream(points: Points, asked: str | None) -> str | None:
    """Return the column of upstream quality: the one asked for, a loss, or one called so; None where there is none."""
    if asked is not None:
        return asked
    named = first_column(points.table, UPSTREAM)
    if named is not None and named.lower() == "upstream":
        return named
    other = next((c for c in points.table.column_names if is_loss(c) and is_numeric(points.table, c)), None)
    return points.columns.get("loss") or other or named


def find_downstream(points: Points, asked: Sequence[str], upstream: str | None) -> list[str]:
    """Return the columns of downstream quality: those asked for, those called so, or else accuracies and the like."""
    if asked:
        return list(dict.fromkeys(asked))
    table = points.table
    free = [c for c in table.column_names if c != upstream and is_numeric(table, c) and not _is_error(c)]
    named = [c for c in free if c.lower().startswith("downstream")]
    return named or [c for c in free if (kind := kind_of(c)) and kind.better == "max" and not c.endswith("_rank")]


def find_quality(points: Points, name: str, directions: Mapping[str, Better], warn: Warn) -> Quality:
    """Return a column of quality, which way of it is better, and its standard errors, if the table has them.

    Args:
        points: the rows.
        name: of the column or quantity.
        directions: what a user says of columns.
        warn: called with a warning where neither the user nor the name says which way is better.

    Raises:
        DegenError: there is no such column, it holds no numbers, or it is a loss that somewhere is none.
    """
    values = find_values(points, name)
    known_loss = name == points.columns.get("loss")  # whatever it is called
    better = directions.get(name) or _direction(name, "min" if known_loss else None, warn)
    if name not in directions and better == "min" and (known_loss or is_loss(name)):
        for row in np.flatnonzero(values <= 0):
            what = f"{points.names[row]} has {name} {values[row]:g}, and a loss is above 0"
            raise DegenError(f"{points.path}: {what}; mend the row, or say --direction {name}=max if it is negated")
    stem, comma, kept = name.partition(",")
    column = first_column(points.table, [f"{stem}{end}{comma}{kept}".lower() for end in ERROR_ENDS])
    return Quality(name, values, better, points.numbers(column) if column is not None else None)


def check_directions(directions: Mapping[str, Better], names: Sequence[str]) -> None:
    """Refuse a direction of a column that is no quality here.

    Raises:
        DegenError: it names the columns there are.
    """
    for name, better in directions.items():
        if name not in names:
            hint = did_you_mean(name, names)
            raise DegenError(f"--direction {name}={better}: {name} is no column of quality here; {hint}")


def _direction(name: str, known: Better | None, warn: Warn) -> Better:
    """Return which way of a column is better by what is known of it, by its name, or else upwards with a warning."""
    words = "_".join(re.split(r"[_/,\-.:\s]+", name.lower()))
    if re.search(rf"(?:^|_){_NEGATED}(?:_|$)", words):
        return "max"
    kind = kind_of(name)
    better = known or (kind.better if kind is not None else None)
    if better is None:
        warn(f"{name}: higher is taken as better; --direction {name}=min if it is lower")
        return "max"
    return better


def _there(points: Points, column: str) -> str:
    if column not in points.table.column_names:
        raise DegenError(f"{points.path}: no column {column!r}; {did_you_mean(column, points.table.column_names)}")
    return column


def _is_error(column: str) -> bool:
    return column.lower().partition(",")[0].endswith(ERROR_ENDS)
