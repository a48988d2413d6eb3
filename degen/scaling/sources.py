"""Rows of several sources in one table: a column of text that explains what a law leaves over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats, Ints, Mask
from degen.hints import some_names
from degen.readers.columns import is_text, texts
from degen.stats.group_offsets import GroupOffsets, compare_offsets

from .points import Points

MAX_P = 0.01  # over all columns of a table: random labels cause a warning in one table of a hundred
MIN_SPREAD = 1e-3  # ln L; sources nearer than this may be pooled
MAX_GROUPS = 50
MAX_LISTED = 6  # values that a warning names
NEAR = 1.02  # ratio up to which sizes, or tokens, count as the same
MIN_ROWS_CUBIC = 30
_SAME = 0.05  # range of a logarithm within which a group has one value
_NO_SOURCE = frozenset({"revision", "status", "reason", "duplicate_of", "head_sha256", "date", "path", "file"})


@dataclass(frozen=True)
class SourceColumn:
    """A column whose values are most likely sources with laws of their own.

    Attributes:
        column: its name.
        values: its values, in the order of the table.
        spread: ln L between the highest and the lowest of them at equal size and tokens.
        p_value: that noise alone puts them so far apart, over all columns that were tested.
    """

    column: str
    values: tuple[str, ...]
    spread: float
    p_value: float

    @property
    def warning(self) -> str:
        """What to tell a user who fits one law to all of them."""
        values = some_names(self.values, MAX_LISTED)
        return (
            f"rows that differ in column {self.column!r} ({values}) do not follow one law: their losses are up to "
            f"{100 * np.expm1(self.spread):.2g} % apart at equal size and tokens, more than noise explains "
            f"(p = {self.p_value:.1g}); --by {self.column} fits each by itself"
        )


def find_source_column(
    points: Points, variables: Floats, residuals: Floats, design: Floats | None
) -> SourceColumn | None:
    """Return the column of text that explains the residuals of a law best; None where none does beyond noise.

    Two tests are made of each column: the F test of an offset of each of its values beside the law, and the same test
    among rows of nearly equal size and tokens alone, which needs no law. Columns that only name sizes, tokens or
    budgets are left out. Where models have several rows each, the mean of each model counts once, because the errors
    of one training curve go together.

    Args:
        points: the rows that were fitted.
        variables: logarithms of what the law takes, such as ln N and ln D, n × v.
        residuals: ln L − ln L̂ of each row, shape (n,); ln L where the design is None.
        design: ∂ ln L̂/∂θ, n × k; None for polynomials in the variables.
    """
    design = _polynomials(variables) if design is None else design
    log_loss = np.log(points.loss)
    found, tested = [], 0
    for column, rows, groups in _columns(points, variables):
        part = points.take(rows)
        results = [
            compare_offsets(*_means(part, residuals[rows], design[rows], groups)),
            _compare_repeats(part, variables[rows], log_loss[rows], groups),
        ]
        valid = [result for result in results if result is not None]
        tested += len(valid)
        found += [(result.p_value, result.spread, column, rows) for result in valid if result.spread >= MIN_SPREAD]
    if not found:
        return None
    p, spread, column, rows = min(found, key=lambda result: result[0])
    if min(1.0, p * tested) > MAX_P:
        return None
    values = dict.fromkeys(str(text) for text in texts(points.take(rows).table, column))
    return SourceColumn(column, tuple(values), spread, p * tested)


def _compare_repeats(points: Points, variables: Floats, log_loss: Floats, groups: Ints) -> GroupOffsets | None:
    """Return the F test of groups among rows of nearly equal variables, of the last row of each model; None without."""
    last = np.arange(len(groups))
    if points.is_series:
        member, count = _models(points, groups)
        order = np.lexsort((variables[:, -1], member))
        last = order[np.searchsorted(member[order], np.arange(count), side="right") - 1]
    cells, among = _cells(variables[last])
    rows = last[among]
    if len(set(groups[rows].tolist())) < 2:
        return None
    _, numbered = np.unique(groups[rows], return_inverse=True)
    _, cells = np.unique(cells[among], return_inverse=True)
    return compare_offsets(log_loss[rows], np.empty((len(rows), 0)), numbered.reshape(-1), cells.reshape(-1))


def _means(points: Points, residuals: Floats, design: Floats, groups: Ints) -> tuple[Floats, Floats, Ints]:
    """Return residuals, design and groups as they are, or the mean of each model where models have several rows."""
    if not points.is_series:
        return residuals, design, groups
    member, count = _models(points, groups)
    sums = np.zeros((count, design.shape[1] + 1))
    np.add.at(sums, member, np.column_stack([residuals, design]))
    means = sums / np.bincount(member)[:, None]
    first = np.unique(member, return_index=True)[1]
    return means[:, 0], means[:, 1:], groups[first]


def _models(points: Points, groups: Ints) -> tuple[Ints, int]:
    """Return a number for the model and group of each row, counted from 0, and how many there are."""
    keys = [(*model, int(group)) for model, group in zip(points.model_keys(), groups, strict=True)]
    index = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return np.array([index[key] for key in keys]), len(index)


def _columns(points: Points, variables: Floats) -> Iterator[tuple[str, Ints, Ints]]:
    """Yield each column of text that may name sources: its name, the rows that have a value, and their groups."""
    table = points.table
    for column in table.column_names:
        if not is_text(table, column) or column.lower() in _NO_SOURCE or column == points.columns.get("revision"):
            continue
        labels = texts(table, column)
        rows = np.array([i for i, label in enumerate(labels) if label is not None and label.strip()], dtype=np.int64)
        kept = [str(labels[i]) for i in rows]
        values = list(dict.fromkeys(kept))
        if not 2 <= len(values) <= min(MAX_GROUPS, len(rows) // 2):
            continue
        groups = np.array([values.index(label) for label in kept])
        if not _names_sizes(variables[rows], groups):
            yield column, rows, groups


def _names_sizes(variables: Floats, groups: Ints) -> bool:
    """Return whether all rows of each group have one size, number of tokens, budget, or tokens per parameter."""
    x, y = variables[:, 0], variables[:, -1]
    masks: list[Mask] = [groups == group for group in range(groups.max() + 1)]
    several = [values for values in (x, y, x + y, y - x) if np.ptp(values) >= _SAME]
    return any(max(float(np.ptp(values[mask])) for mask in masks) < _SAME for values in several)


def _cells(variables: Floats) -> tuple[Ints, Mask]:
    """Return a number for each row, equal for rows of nearly equal variables; and a mask of rows that share it."""
    numbers = np.stack([_clusters(np.exp(column)) for column in variables.T], axis=1)
    _, cells, counts = np.unique(numbers, axis=0, return_inverse=True, return_counts=True)
    cells = cells.reshape(-1)
    return cells, counts[cells] > 1


def _clusters(values: Floats) -> Ints:
    """Return a number for each value, equal for values within 2 % of the smallest with that number."""
    numbers = np.zeros(len(values), dtype=np.int64)
    first, number = -np.inf, -1
    for i in np.argsort(values, kind="stable"):
        if values[i] > first * NEAR or number < 0:
            first, number = values[i], number + 1
        numbers[i] = number
    return numbers


def _polynomials(variables: Floats) -> Floats:
    """Return the monomials in the first and last variable up to degree 2, or 3 where the rows are many."""
    x, y = (column - column.mean() for column in (variables[:, 0], variables[:, -1]))
    degree = 3 if len(x) > MIN_ROWS_CUBIC else 2
    return np.stack([x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)], axis=1)
