"""Doubts about columns that may not hold the quantity they are named for: another column of it, or other units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from degen.arrays import Floats
from degen.metrics.metric_kinds import is_loss
from degen.readers.columns import is_numeric
from degen.readers.name_words import is_training, is_validation

from .column_names import columns_of
from .points import Points
from .quantities import ALIASES, TEXTS

MAX_COMPUTE_RATIO = 30.0  # between compute and 6ND; a mixture of experts or long contexts make a smaller difference
MIN_PARAMETERS = 1e4  # smaller sizes are most likely counted in thousands, millions or billions
MIN_TOKENS = 1e5  # fewer training tokens likewise
MAX_TOKENS_PER_PARAMETER = 1e5  # of published models 6e4 at most
FEW_PARAMETERS, MAX_TOKENS_OF_FEW = 1e6, 1e4  # models of fewer parameters saw no more tokens per parameter than this
MIN_TOKENS_PER_PARAMETER = 1e-2
LOG_COUNTER = "_step"  # of wandb, which counts its own rows: no rival of a step of training
MAX_LOSS = 15.0  # nats; that of a uniform guess among 3 million tokens


@dataclass
class ColumnDoubts:
    """What may be wrong with the columns that quantities are read from.

    Attributes:
        warnings: lines about columns that may be the wrong ones, or in other units.
        notes: lines about training losses that were passed over for those of data kept for evaluation.
    """

    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_columns(points: Points, named: Mapping[str, str], units: bool = True) -> ColumnDoubts:
    """Return doubts about quantities that may be read from the wrong column or in the wrong unit.

    Args:
        points: the rows of a table.
        named: quantity -> the column that the user named for it. For these no other column is suggested; their units
            are doubted like all others.
        units: whether units may be wrong, as those of a run of `degen scan` are not.
    """
    doubts = ColumnDoubts()
    for quantity, column in points.columns.items():
        measured = quantity not in TEXTS and is_numeric(points.table, column)
        if measured and quantity not in named and not (quantity == "perplexity" and "loss" in points.columns):
            _doubt_choice(points, quantity, column, [c for c in named.values() if c != column], doubts)
    doubts.warnings += _compute_doubts(points)
    if units:
        doubts.warnings += _size_doubts(points) + _loss_doubts(points)
    return doubts


def _doubt_choice(points: Points, quantity: str, column: str, taken: Sequence[str], doubts: ColumnDoubts) -> None:
    """Add a line to `doubts` where other columns are called by a name of a quantity and hold other values.

    Args:
        points: the rows of a table.
        quantity: the quantity.
        column: the column from which it is read.
        taken: columns that the user named for other quantities.
        doubts: gets the line.
    """
    table, values = points.table, points.numbers(column)
    free = [c for c in table.column_names if c != column and c not in taken and c not in points.columns.values()]
    preferred = [c for c in columns_of(ALIASES[quantity], [column, *free]) if c != LOG_COUNTER]
    skipped = preferred[: preferred.index(column)] if column in preferred else []
    others = [c for c in preferred if c != column and is_numeric(table, c) and _differs(points.numbers(c), values)]
    where = f"{points.path}: {quantity} is read from column {column!r}"
    without = [c for c in preferred if not is_numeric(table, c) or table[c].null_count == len(table)]
    if before := [c for c in without if c in skipped]:
        doubts.warnings.append(f"{where}, because {_listed(before)} no numbers")
    if behind := [c for c in without if c not in (column, *skipped)]:
        doubts.notes.append(f"{where}; {_listed(behind)} no numbers")
    if not others:
        if is_training(column) and quantity == "loss":
            kept = next((c for c in free if is_loss(c) and is_validation(c) and is_numeric(table, c)), None)
            such = "" if kept is None else f", as loss={kept}"
            doubts.notes.append(f"{where}, of the training data; --columns loss=COLUMN names another{such}")
        return
    choice = others[0] if len(others) == 1 else "COLUMN"
    one = f"--columns {quantity}={choice} to read {'that' if len(others) == 1 else 'another'} one"
    if is_validation(column) and all(map(is_training, others)):
        names = ", ".join(map(repr, others))
        doubts.notes.append(f"{where}, not from {names}, of the training data; use {one}")
    else:
        doubts.warnings.append(f"{where}, but {_listed(others)} other values for it; use {one}")


def _differs(other: Floats, values: Floats) -> bool:
    known = np.isfinite(other)
    return bool((known & ~(np.abs(other - values) <= 1e-6 * np.abs(values))).any())


def _listed(columns: Sequence[str]) -> str:
    """Return the names of columns and their verb, as `column 'a' holds` or `columns 'a', 'b' hold`."""
    names = ", ".join(map(repr, columns))
    return f"column {names} holds" if len(columns) == 1 else f"columns {names} hold"


def _compute_doubts(points: Points) -> list[str]:
    """Return a line where compute is far from 6ND."""
    columns = points.columns
    compute = columns.get("flops") or columns.get("pf_days")
    used = [columns.get("parameters"), columns.get("tokens"), compute]
    if any(column is None or not is_numeric(points.table, column) for column in used):
        return []
    n, d, c = points.parameters, points.tokens, points.flops
    with np.errstate(all="ignore"):
        ratios = c / (6 * n * d)
    known = (n > 0) & (d > 0) & (c > 0) & np.isfinite(ratios)
    if not known.any() or 1 / MAX_COMPUTE_RATIO <= (ratio := float(np.median(ratios[known]))) <= MAX_COMPUTE_RATIO:
        return []
    return [
        f"{points.path}: the compute of the median model, column {compute!r}, is {ratio:.3g} times 6ND; if compute is "
        f"in PF-days, use --columns pf_days=COLUMN; if {used[0]!r} or {used[1]!r} is in millions or billions, "
        "write the full numbers"
    ]


def _size_doubts(points: Points) -> list[str]:
    """Return lines about columns of sizes and tokens that are most likely in thousands, millions or billions."""
    columns, lines = points.columns, []
    sizes = {q: _positive(points, q) for q in ("parameters", "parameters_non_embedding")}
    small = [q for q, n in sizes.items() if n.size and np.median(n) < MIN_PARAMETERS]
    mixed = [q for q, n in sizes.items() if n.size and q not in small and n.min() < MIN_PARAMETERS and n.max() >= 1e6]
    lines += [
        _unit_doubt(points, columns[q], f"the median model has {np.median(sizes[q]):.3g} parameters") for q in small
    ]
    lines += [
        _unit_doubt(points, columns[q], f"some sizes are as small as {sizes[q].min():.3g} parameters") for q in mixed
    ]
    if not points.has("tokens"):
        return lines
    source = columns.get("tokens") or columns.get("flops") or columns["pf_days"]
    if not is_numeric(points.table, source):
        return lines
    d = points.tokens[np.isfinite(points.tokens) & (points.tokens > 0)]
    if "tokens" in points.origins:
        return lines  # by tokens per step, which the user gave
    if d.size and np.median(d) < MIN_TOKENS and not (small and "tokens" not in columns):
        lines.append(_unit_doubt(points, source, f"the median model has {np.median(d):.3g} training tokens"))
    elif (ratio := _ratio(points)) is not None and not small:
        text = f"the median model has {ratio:.3g} training tokens per parameter"
        few = np.median(sizes["parameters"]) < FEW_PARAMETERS
        if ratio > (MAX_TOKENS_OF_FEW if few else MAX_TOKENS_PER_PARAMETER):
            lines.append(_unit_doubt(points, columns["parameters"], text))
        elif ratio < MIN_TOKENS_PER_PARAMETER:
            lines.append(_unit_doubt(points, source, text))
    return lines


def _unit_doubt(points: Points, column: str, fact: str) -> str:
    return (
        f"{points.path}: by column {column!r} {fact}; if that column is in thousands, millions or billions, the best "
        "sizes are wrong: write the full numbers, as 70e6 for 70 million"
    )


def _ratio(points: Points) -> float | None:
    """Return the median of D/N; None where one of them is unknown in all rows."""
    if "parameters" not in points.columns or not is_numeric(points.table, points.columns["parameters"]):
        return None
    n, d = points.parameters, points.tokens
    known = (n > 0) & (d > 0) & np.isfinite(n) & np.isfinite(d)
    return float(np.median(d[known] / n[known])) if known.any() else None


def _loss_doubts(points: Points) -> list[str]:
    """Return a line where losses are so large that they are most likely perplexities."""
    values = _positive(points, "loss")
    if "loss" not in points.columns or not values.size or np.median(values) <= MAX_LOSS:
        return []
    return [
        f"{points.path}: by column {points.columns['loss']!r} the median loss is {np.median(values):.3g} nats per "
        f"token; if these are perplexities, use --columns perplexity={points.columns['loss']}"
    ]


def _positive(points: Points, quantity: str) -> Floats:
    """Return the positive and finite values of a quantity's own column; none where it has no column of numbers."""
    column = points.columns.get(quantity)
    if column is None or not is_numeric(points.table, column):
        return np.empty(0)
    values = points.numbers(column)
    return values[np.isfinite(values) & (values > 0)]
