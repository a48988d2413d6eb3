"""The points that a scaling law is fitted to: models with their sizes, tokens, compute and losses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.arrays import Floats, Mask
from degen.errors import DegenError
from degen.hints import did_you_mean
from degen.metrics.columns import is_numeric, numbers, texts

from .quantities import ALIASES, PF_DAY, TEXTS

if TYPE_CHECKING:
    import pyarrow as pa

Warn = Callable[[str], None]

MIN_POINTS = 4  # points of any fit: three say next to nothing of their noise


@dataclass(frozen=True, eq=False)
class Points:
    """Rows of a table, and what scaling laws need of them.

    Attributes:
        path: where the table came from.
        table: the rows, with every column there is.
        columns: the column of every quantity that the table has itself, by quantity.
        numbers_of_rows: where each row stood in the table, counted from 1.
    """

    path: Path
    table: pa.Table
    columns: Mapping[str, str]
    numbers_of_rows: tuple[int, ...]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def parameters(self) -> Floats:
        """N, all parameters; NaN where unknown, as for every quantity."""
        return self.quantity("parameters")

    @property
    def tokens(self) -> Floats:
        """D, training tokens; C/6N where the table says nothing."""
        return self.quantity("tokens")

    @property
    def flops(self) -> Floats:
        """C, training FLOPs; from PF-days, or 6ND, where the table says nothing."""
        return self.quantity("flops")

    @property
    def loss(self) -> Floats:
        """L in nats per token."""
        return self.quantity("loss")

    @property
    def models(self) -> list[str | None] | None:
        """The model of each row; None where the table has no such column."""
        return texts(self.table, self.columns["model"]) if "model" in self.columns else None

    @cached_property
    def names(self) -> list[str]:
        """A name for each row: model and step, or the number of the row where those do not tell rows apart."""
        rows = [f"row {number}" for number in self.numbers_of_rows]
        models = self.models
        if models is None:
            return rows
        names = [model if model is not None else row for model, row in zip(models, rows, strict=True)]
        if len(set(names)) < len(names):
            names = [f"{name}/{mark}" if mark else name for name, mark in zip(names, self._marks(), strict=True)]
        often = Counter(names)
        return [f"{name} ({row})" if often[name] > 1 else name for name, row in zip(names, rows, strict=True)]

    def numbers(self, column: str) -> Floats:
        """Return any column of the table as float64, NaN where it is missing.

        Raises:
            DegenError: no such column, or it holds no numbers.
        """
        if column not in self.table.column_names:
            raise DegenError(f"{self.path}: no column {column!r}; {did_you_mean(column, self.table.column_names)}")
        return numbers(self.table, column, self.path)

    def has(self, quantity: str) -> bool:
        """Return whether a quantity is in the table or follows from others."""
        return self._find(quantity) is not None

    def quantity(self, name: str) -> Floats:
        """Return a quantity of every row, such as `parameters` or `tokens`; NaN where it is unknown.

        Formula: D = C/6N and C = 6ND where the table does not say them itself.

        Raises:
            DegenError: the table has no column for it, and it does not follow from others.

        Source: Kaplan et al. 2020, arXiv 2001.08361, section 2.1.
        """
        found = self._find(name)
        if found is None:
            also = {"tokens": ", nor those of parameters and flops to have them from C/6N"}.get(name, "")
            raise DegenError(
                f"{self.path}: no column of {name} ({', '.join(ALIASES[name][:4])}, …){also}; "
                f"name it with --columns {name}=COLUMN; there are {', '.join(self.table.column_names[:12])}"
            )
        return found

    def take(self, rows: Sequence[int] | np.ndarray[Any, Any]) -> Points:
        """Return some of the rows, by position or by a mask, in that order."""
        import pyarrow as pa

        chosen = np.asarray(rows)
        at = [int(i) for i in (np.flatnonzero(chosen) if chosen.dtype == bool else chosen)]
        kept = tuple(self.numbers_of_rows[i] for i in at)
        return replace(self, table=self.table.take(pa.array(at, pa.int64())), numbers_of_rows=kept)

    def complete(self, *quantities: str) -> Points:
        """Return the rows in which all of some quantities are known, each of them positive.

        Raises:
            DegenError: a quantity is missing everywhere, or is somewhere zero, negative or infinite.
        """
        known = np.ones(len(self), dtype=bool)
        for name in quantities:
            values = self.quantity(name)
            for at in np.flatnonzero(~np.isnan(values) & ~(np.isfinite(values) & (values > 0))):
                hint = "mend the row or leave it out"
                raise DegenError(f"{self.path}: {self.names[at]} has {name} {values[at]:g}, not positive; {hint}")
            if np.isnan(values).all():
                scanned = name in ("tokens", "flops") and "tokens_seen" in self.table.column_names
                way = "scan with --tokens-per-step, or name" if scanned else "name"
                raise DegenError(f"{self.path}: {name} is known in no row; {way} another column with --columns")
            known &= ~np.isnan(values)
        if not known.any():
            raise DegenError(f"{self.path}: no row has {' and '.join(quantities)} at once; complete the table")
        return self.take(known)

    def without_highest(self, many: int) -> Points:
        """Return the rows but those with the highest losses, as many as asked for.

        Raises:
            DegenError: that leaves none.
        """
        points = self.complete("loss")
        if not 0 <= many < len(points):
            raise DegenError(f"--without-highest {many}: {points.path} has {len(points)} rows with a loss")
        return points.take(np.sort(np.argsort(points.loss, kind="stable")[: len(points) - many])) if many else self

    @property
    def is_series(self) -> bool:
        """Whether a model of one size has several rows, as its checkpoints are."""
        return len(set(self._owners())) < len(self) if "model" in self.columns else False

    @property
    def untrained(self) -> Mask:
        """Which rows are of models before training: of 0 tokens, or of step 0 where the model has later ones."""
        rows = np.zeros(len(self), dtype=bool)
        own = {name: column for name, column in self.columns.items() if is_numeric(self.table, column)}
        if "tokens" in own:
            rows |= self.numbers(own["tokens"]) == 0
        models = self.models
        if "steps" in own and models is not None:
            steps = self.numbers(own["steps"])
            trained = {model for model, step in zip(models, steps, strict=True) if step > 0}
            rows |= (steps == 0) & np.array([model in trained for model in models], dtype=bool)
        return rows

    def final(self) -> Points:
        """Return the last row of each model, among those with a loss: by tokens, or else steps, or else in the table.

        Raises:
            DegenError: the table does not tell models apart.
        """
        if "model" not in self.columns:
            raise DegenError(f"{self.path}: no column of model to tell the last row of each by; name it with --columns")
        points = self.complete("loss") if self.has("loss") else self
        known = (points.quantity(name) for name in ("tokens", "steps") if points.has(name))
        order = next((values for values in known if not np.isnan(values).any()), np.arange(len(points)))
        last: dict[tuple[str, str], int] = {}
        for i, owner in enumerate(points._owners()):
            if owner not in last or order[i] >= order[last[owner]]:
                last[owner] = i
        return points.take(sorted(last.values()))

    def _owners(self) -> list[tuple[str, str]]:
        """Return model and size of each row: a name may be that of an architecture of several sizes."""
        models = self.models or []
        sizes = self.parameters if self.has("parameters") else np.zeros(len(models))
        return [(model or "", f"{size:.9g}") for model, size in zip(models, sizes, strict=True)]

    def _find(self, name: str) -> Floats | None:
        own = self._own(name)
        size = self._own("parameters")
        other = self._own({"tokens": "flops", "flops": "tokens"}.get(name, name))
        if name not in ("tokens", "flops") or size is None or other is None:
            return own
        with np.errstate(divide="ignore", invalid="ignore"):  # a size of 0 is refused where it is used
            follows = other / (6 * size) if name == "tokens" else 6 * size * other
        return follows if own is None else np.where(np.isnan(own), follows, own)

    def _own(self, name: str) -> Floats | None:
        """Return what the table itself says of a quantity."""
        if name == "flops" and name not in self.columns and "pf_days" in self.columns:
            return self.numbers(self.columns["pf_days"]) * PF_DAY
        return self.numbers(self.columns[name]) if name in self.columns and name not in TEXTS else None

    def _marks(self) -> list[str | None]:
        """Return the revision or step of each row."""
        column = self.columns.get("revision") or self.columns.get("steps") or self.columns.get("tokens")
        if column is None:
            return [None] * len(self)
        whole = [None if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)
                 for value in self.table[column].to_pylist()]  # fmt: skip
        return whole


def check_enough(points: Points, free: Sequence[str], hint: str) -> None:
    """Refuse fewer points than tell parameters and their errors.

    Args:
        points: what is to be fitted.
        free: names of the fitted parameters.
        hint: what else to do than to add points.

    Raises:
        DegenError: as few points as parameters, or fewer than `MIN_POINTS`.
    """
    count = len(points)
    if count < max(len(free) + 1, MIN_POINTS):
        text = f"1 parameter ({free[0]})" if len(free) == 1 else f"{len(free)} parameters ({', '.join(free)})"
        has = "1 point does" if count == 1 else f"{count} points do"
        also = " and its errors" if len(free) == 1 else " and their errors"
        raise DegenError(f"{points.path}: {has} not suffice for {text}{also}; {hint}")
