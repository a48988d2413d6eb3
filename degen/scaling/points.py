"""The points that a scaling law is fitted to: models with their sizes, tokens, compute and losses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.arrays import Floats, Mask
from degen.errors import DegenError
from degen.hints import did_you_mean, there_are
from degen.readers.columns import is_numeric, numbers, texts
from degen.readers.records import counted
from degen.readers.source_summary import SourceSummary

from .quantities import ALIASES, PF_DAY, TEXTS

if TYPE_CHECKING:
    import pyarrow as pa

Warn = Callable[[str], None]

MIN_POINTS = 4  # of any fit: three hardly show how large their noise is


@dataclass(frozen=True, eq=False)
class Points:
    """Rows of a table, and their quantities by the names that scaling laws use.

    Attributes:
        path: the run, file or folder that the table was read from.
        table: the rows, with all columns.
        columns: quantity -> the name of its column, for quantities that have one.
        row_numbers: the row of each point in the table that was read, counted from 1.
        kind: what they were read from, as `table` or `run`.
        origins: quantity -> how it was computed, for quantities whose column is not in the table that was read.
        left_out: how many rows were left out and why, a phrase each.
        named: the quantities whose column the user named.
    """

    path: Path
    table: pa.Table
    columns: Mapping[str, str]
    row_numbers: tuple[int, ...]
    kind: str = "table"
    origins: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def parameters(self) -> Floats:
        """N, all parameters; NaN where unknown, as in all quantities."""
        return self.quantity("parameters")

    @property
    def tokens(self) -> Floats:
        """D, training tokens; C/6N where the table has no value."""
        return self.quantity("tokens")

    @property
    def flops(self) -> Floats:
        """C, training FLOPs; from PF-days or 6ND where the table has no value."""
        return self.quantity("flops")

    @property
    def loss(self) -> Floats:
        """L in nats per token; ln of the perplexity where the table has no column of losses."""
        return self.quantity("loss")

    @property
    def models(self) -> list[str | None] | None:
        """The model of each row; None where the table has no such column."""
        return texts(self.table, self.columns["model"]) if "model" in self.columns else None

    @cached_property
    def names(self) -> list[str]:
        """A name for each row: its model, with step or row number where models have several rows; or its row number."""
        rows = [f"row {number}" for number in self.row_numbers]
        models = self.models
        if models is None:
            return rows
        names = [model if model is not None else row for model, row in zip(models, rows, strict=True)]
        if len(set(names)) < len(names):
            names = [f"{name}/{step}" if step else name for name, step in zip(names, self._revisions(), strict=True)]
        counts = Counter(names)
        return [f"{name} ({row})" if counts[name] > 1 else name for name, row in zip(names, rows, strict=True)]

    def numbers(self, column: str) -> Floats:
        """Return the values of any column of the table as float64, NaN where one is missing.

        Raises:
            DegenError: the table has no such column, or it holds values that are no numbers.
        """
        if column not in self.table.column_names:
            hint = did_you_mean(column, self.table.column_names)
            raise DegenError(f"{self.path}: the table has no column {column!r}; {hint}")
        return numbers(self.table, column, self.path)

    def has(self, quantity: str) -> bool:
        """Return whether a quantity has a column, or can be computed from others."""
        return self._values(quantity) is not None

    def quantity(self, name: str) -> Floats:
        """Return a quantity of every row, such as `parameters` or `tokens`; NaN where it is unknown.

        Formula: D = C/6N and C = 6ND where the table has no value.

        Raises:
            DegenError: the table has no column for it, and it cannot be computed from others.

        Source: Kaplan et al. 2020, arXiv 2001.08361, section 2.1.
        """
        values = self._values(name)
        if values is None:
            also = ", nor columns of parameters and flops to compute them as C/6N" if name == "tokens" else ""
            raise DegenError(
                f"{self.path}: the table has no column of {name} ({', '.join(ALIASES[name][:4])}, …){also}; "
                f"name it with --columns {name}=COLUMN; {there_are(self.table.column_names)}"
            )
        return values

    def take(self, rows: Sequence[int] | np.ndarray[Any, Any], why: str = "") -> Points:
        """Return some of the rows.

        Args:
            rows: their indices, in the order to return them, or a mask that marks them.
            why: why the others are left out, for the summary of the source; empty where that is no loss.
        """
        import pyarrow as pa

        selection = np.asarray(rows)
        indices = [int(i) for i in (np.flatnonzero(selection) if selection.dtype == bool else selection)]
        numbers = tuple(self.row_numbers[i] for i in indices)
        count = len(self) - len(indices)
        left_out = (*self.left_out, counted(count, f"rows {why}")) if why and count else self.left_out
        table = self.table.take(pa.array(indices, pa.int64()))
        return replace(self, table=table, row_numbers=numbers, left_out=left_out)

    def complete(self, *quantities: str) -> Points:
        """Return the rows that have a value of each of the given quantities.

        Raises:
            DegenError: no row has them all, or a value is zero, negative or infinite.
        """
        known = np.ones(len(self), dtype=bool)
        for name in quantities:
            values = self.quantity(name)
            for i in np.flatnonzero(~np.isnan(values) & ~(np.isfinite(values) & (values > 0))):
                raise DegenError(
                    f"{self.path}: {self.names[i]} has {name} {values[i]:g}, which must be positive and finite; "
                    "correct the row or leave it out"
                )
            if np.isnan(values).all():
                scanned = name in ("tokens", "flops") and "tokens_seen" in self.table.column_names
                remedy = "give --tokens-per-step, or name" if scanned else "name"
                raise DegenError(f"{self.path}: {name} is missing in every row; {remedy} another column with --columns")
            known &= ~np.isnan(values)
        if not known.any():
            raise DegenError(
                f"{self.path}: no row has values of all of {', '.join(quantities)}; fill in the missing ones"
            )
        return self.take(known, f"without {' or '.join(quantities)}")

    def without_highest(self, count: int) -> Points:
        """Return the rows that have a loss, without the `count` highest losses.

        Raises:
            DegenError: no row would be left.
        """
        points = self.complete("loss")
        if not 0 <= count < len(points):
            raise DegenError(
                f"--without-highest {count}: must be 0 or more, and less than the {len(points)} rows of {points.path} "
                "that have a loss"
            )
        return points.take(np.sort(np.argsort(points.loss, kind="stable")[: len(points) - count]), "of highest loss")

    @property
    def is_series(self) -> bool:
        """Whether some model has several rows, such as one for each checkpoint."""
        return len(set(self.model_keys())) < len(self) if "model" in self.columns else False

    @property
    def untrained(self) -> Mask:
        """A mask of models before training: 0 tokens, or step 0 of a model that has later steps."""
        rows = np.zeros(len(self), dtype=bool)
        numeric = {name: column for name, column in self.columns.items() if is_numeric(self.table, column)}
        if "tokens" in numeric:
            rows |= self.numbers(numeric["tokens"]) == 0
        models = self.models
        if "steps" in numeric and models is not None:
            steps = self.numbers(numeric["steps"])
            trained = {model for model, step in zip(models, steps, strict=True) if step > 0}
            rows |= (steps == 0) & np.array([model in trained for model in models], dtype=bool)
        return rows

    def final(self) -> Points:
        """Return the last row with a loss of each model: by tokens, else by steps, else in the order of the table.

        Raises:
            DegenError: the table has no column of models.
        """
        if "model" not in self.columns:
            raise DegenError(
                f"{self.path}: --final needs a column of models, and the table has none; name it with "
                "--columns model=COLUMN"
            )
        points = self.complete("loss") if self.has("loss") else self
        known = (points.quantity(name) for name in ("tokens", "steps") if points.has(name))
        order = next((values for values in known if not np.isnan(values).any()), np.arange(len(points)))
        last: dict[tuple[str, str], int] = {}
        for i, model in enumerate(points.model_keys()):
            if model not in last or order[i] >= order[last[model]]:
                last[model] = i
        return points.take(sorted(last.values()), "before the last one of their model")

    def summary(self, columns: Mapping[str, str]) -> SourceSummary:
        """Return what was understood of the source of these rows.

        Args:
            columns: what is used of them -> the column that it is read from; see `origin`.
        """
        models = [model for model in dict.fromkeys(self.models or []) if model is not None]
        several = len(models) < len(self)  # a label for each row says nothing
        return SourceSummary(
            self.path, self.kind, len(self), columns, tuple(models) if several else (), errors=None,
            left_out=self.left_out,
        )  # fmt: skip

    def origin(self, quantity: str) -> str:
        """Return the column that a quantity is read from, or how it is computed, in brackets."""
        column, stored = self.columns.get(quantity), self._stored(quantity)
        if quantity in self.origins:
            return f"({self.origins[quantity]})"
        derived = {"tokens": "C/6N", "flops": "6ND"}.get(quantity)
        if column is not None:
            filled = stored is not None and bool((np.isnan(stored) & ~np.isnan(self.quantity(quantity))).any())
            return f"{column} ({derived} where missing)" if filled else column
        if quantity == "flops" and "pf_days" in self.columns:
            return f"{self.columns['pf_days']} (PF-days)"
        if quantity == "loss" and "perplexity" in self.columns:
            return f"(ln {self.columns['perplexity']})"
        return f"({derived})" if derived else "(unknown)"

    def model_keys(self) -> list[tuple[str, str]]:
        """Return name and size of each row's model, as models of several sizes may share a name."""
        models = self.models or []
        sizes = self.parameters if self.has("parameters") else np.zeros(len(models))
        return [(model or "", f"{size:.9g}") for model, size in zip(models, sizes, strict=True)]

    def _values(self, name: str) -> Floats | None:
        """Return the values of a quantity: from its column; missing tokens and FLOPs are computed from each other.

        None where the quantity has no column and cannot be computed.
        """
        stored, size = self._stored(name), self._stored("parameters")
        other = self._stored({"tokens": "flops", "flops": "tokens"}.get(name, name))
        if name not in ("tokens", "flops") or size is None or other is None:
            return stored
        with np.errstate(divide="ignore", invalid="ignore"):  # a size of 0 is refused where it is used
            derived = other / (6 * size) if name == "tokens" else 6 * size * other
        return derived if stored is None else np.where(np.isnan(stored), derived, stored)

    def _stored(self, name: str) -> Floats | None:
        """Return the values of a quantity from its column; None where it has none.

        FLOPs are also read from a column of PF-days, losses from one of perplexities, as their logarithm.
        """
        if name == "flops" and name not in self.columns and "pf_days" in self.columns:
            return self.numbers(self.columns["pf_days"]) * PF_DAY
        if name == "loss" and name not in self.columns and "perplexity" in self.columns:
            perplexity = self.numbers(self.columns["perplexity"])
            with np.errstate(divide="ignore", invalid="ignore"):  # what is not positive is refused where it is used
                return np.where(perplexity < 0, -np.inf, np.log(perplexity))
        return self.numbers(self.columns[name]) if name in self.columns and name not in TEXTS else None

    def _revisions(self) -> list[str | None]:
        """Return for each row its revision, or else its step or tokens, as text; None where the row has none."""
        column = self.columns.get("revision") or self.columns.get("steps") or self.columns.get("tokens")
        values = [None] * len(self) if column is None else self.table[column].to_pylist()
        return [None if v is None else f"{v:.12g}" if isinstance(v, float) else str(v) for v in values]


def check_enough(points: Points, free: Sequence[str], hint: str) -> None:
    """Refuse too few points for the fitted parameters and their errors.

    Args:
        points: the points to fit.
        free: names of the parameters to fit.
        hint: what the user can do, for the error.

    Raises:
        DegenError: there are no more points than parameters, or fewer than `MIN_POINTS`.
    """
    count = len(points)
    if count < max(len(free) + 1, MIN_POINTS):
        text = f"1 parameter ({free[0]})" if len(free) == 1 else f"{len(free)} parameters ({', '.join(free)})"
        has = "1 point is" if count == 1 else f"{count} points are"
        also = " and its error" if len(free) == 1 else " and their errors"
        raise DegenError(f"{points.path}: {has} too few to fit {text}{also}; {hint}")
