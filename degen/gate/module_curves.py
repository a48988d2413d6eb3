"""The curves of single modules that a rule is about: columns of `delta` or `weights`, of a run or of a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from degen.hints import did_you_mean
from degen.metrics.curve import Curve, Point, curve_from_points, reason_for_missing
from degen.metrics.run_parts import RunParts
from degen.readers.open_table import OpenTable
from degen.readers.source_summary import SourceSummary
from degen.tables import Row

from .module_tables import MODULE_TABLES, ModuleTable
from .rule import Rule


def check_module_rule(rule: Rule, table: ModuleTable, column: str) -> None:
    """Refuse a rule about a column that a table of modules has not, or that holds text, or with another's selector.

    Raises:
        DegenError: it is such a rule.
    """
    if column not in table.metrics:
        problem = "holds text" if column in [c.name for c in table.columns] else "is not there"
        raise rule.error(f"column {column!r} of table {table.name} {problem}; {did_you_mean(column, table.metrics)}")
    for name in ("layer", "site", "domain"):
        if getattr(rule, name) is not None:
            raise rule.error(f"figures of {table.measures} are of a module; select it with module=, and drop {name}")


def read_modules(parts: RunParts, model: str, rows: Sequence[Row], table: ModuleTable, column: str) -> list[Curve]:
    """Return the curves of a column of a table of modules, one for each module that has a value or a reason.

    Args:
        parts: the run.
        model: label of the series.
        rows: the rows of table `checkpoints` for its checkpoints.
        table: of modules.
        column: its name.
    """
    measured: list[tuple[Row, list[Row]]] = []
    for row in rows:
        part = parts.part(table.name, model, row["revision"], (*table.keys, column, "reason"))
        found = part.to_pylist() if part is not None and row["status"] != "failed" else []
        if found or row["status"] == "failed" or part is None:
            measured.append((row, found))  # at the first checkpoint of a series nothing has changed
    return module_curves(model, measured, table, column)


def module_curves(
    model: str, measured: Sequence[tuple[Row, Sequence[Row]]], table: ModuleTable, column: str
) -> list[Curve]:
    """Return a curve for each module; one for a column that is of the whole update.

    Args:
        model: label of the series.
        measured: of each checkpoint, its revision, step, status and reason, and the rows of its modules.
        table: that they are of.
        column: whose values the curves have.
    """
    by_module = [(checkpoint, {table.module_of(row): row for row in rows}) for checkpoint, rows in measured]
    modules = dict.fromkeys(
        module
        for _, rows in by_module
        for module, row in rows.items()
        if row.get(column) is not None or row.get("reason")
    )
    if column in table.whole:  # the same in every row
        points = [_point(checkpoint, next(iter(rows), None), column) for checkpoint, rows in measured]
        return [curve_from_points(model, f"{table.name}.{column}", points)] if points else []
    curves = []
    for module in modules:
        points = [_point(checkpoint, own.get(module), column) for checkpoint, own in by_module]
        curves.append(curve_from_points(model, f"{table.name}.{column}", points, place=f"module {module}"))
    return curves


def select_modules(rule: Rule, curves: Sequence[Curve], name: str) -> list[Curve]:
    """Return those of the curves of one model whose module a rule selects.

    Raises:
        DegenError: there is no such module.
    """
    if rule.module is None or not curves:
        return list(curves)
    selected = [curve for curve in curves if curve.place == f"module {rule.module}"]
    if not selected:
        names = [str(curve.place).removeprefix("module ") for curve in curves]
        problem = "was changed" if rule.metric.startswith("delta") else "is there"
        raise rule.error(f"{name}: no module {rule.module!r} {problem}; {did_you_mean(rule.module, names)}")
    return selected


def _point(checkpoint: Row, row: Row | None, column: str) -> Point:
    """Return the value of a module at a checkpoint, or the reason why there is none."""
    value = row.get(column) if row is not None else None
    number = float(value) if isinstance(value, int | float) else None
    if number is None or math.isnan(number):
        reason = (row or {}).get("reason") or checkpoint.get("reason")
        missing = reason_for_missing(checkpoint.get("status") or "ok", reason, number)
        return Point(checkpoint["revision"], checkpoint["step"], None, None, missing)
    return Point(checkpoint["revision"], checkpoint["step"], number)


def is_module_table(opened: OpenTable) -> bool:
    """Return whether a table is one of modules, as `degen delta` writes one, by its columns."""
    return _table_of(opened) is not None


def _table_of(opened: OpenTable) -> ModuleTable | None:
    """Return which table of modules a file holds; None where it is another table."""
    names = set(opened.table.column_names)
    return next((table for table in MODULE_TABLES.values() if set(table.needed) <= names), None)


@dataclass(frozen=True)
class ModuleTableSource:
    """A file of table `delta` or `weights` as the source of the curves that rules are about.

    Attributes:
        opened: the table, with its path.
        warn: called with each line of warning.
    """

    opened: OpenTable
    warn: Callable[[str], None] = field(repr=False)

    @property
    def path(self) -> Path:
        """The file."""
        return self.opened.path

    @property
    def name(self) -> str:
        """What a user calls it: its path."""
        return str(self.path)

    @property
    def samples(self) -> frozenset[str]:
        """An empty set: weights and updates are measured on no text."""
        return frozenset()

    @property
    def failed(self) -> list[str]:
        """An empty list: the table holds what was measured alone."""
        return []

    @cached_property
    def models(self) -> list[str]:
        """Labels of the models, in the order of the table."""
        return list(self._measured)

    @cached_property
    def _measured(self) -> dict[str, list[tuple[Row, list[Row]]]]:
        """Label of each model -> its checkpoints in the order of the table, each with the rows of its modules."""
        models: dict[str, dict[Any, tuple[Row, list[Row]]]] = {}
        for row in self.opened.table.to_pylist():
            step = row["step"]
            known_step = isinstance(step, int | float) and not math.isnan(step)
            checkpoint = {"revision": row["revision"], "step": int(step) if known_step else None}
            known = models.setdefault(str(row["model"]), {}).setdefault(row["revision"], (checkpoint, []))
            known[1].append(row)
        return {model: list(checkpoints.values()) for model, checkpoints in models.items()}

    def curves(self, rule: Rule) -> list[Curve]:
        """Return the curves that a rule is about, one for each module.

        Raises:
            DegenError: the rule is about something else, or a selector matches nothing.
        """
        own = _table_of(self.opened)
        assert own is not None
        table, column = rule.of_modules or (own, rule.metric)
        if table is not own:
            raise rule.error(f"{self.path} is a table of {own.measures}; name a run that was scanned for {table.name}")
        check_module_rule(rule, table, column)
        curves = []
        for model in rule.select_models(self.models, self.name):
            found = select_modules(rule, module_curves(model, self._measured[model], own, column), self.name)
            nothing = Point(None, None, None, None, f"no module has {column}")
            curves += found or [curve_from_points(model, rule.metric, [nothing])]
        return curves

    def summary(self, rules: Sequence[Rule]) -> SourceSummary:
        """Return what was understood of the table, as far as rules need it."""
        columns: Mapping[str, str] = {"model": "model", "step": "step"}
        metrics = tuple(dict.fromkeys(curve.metric for rule in rules for curve in self.curves(rule)))
        own = _table_of(self.opened)
        assert own is not None
        return SourceSummary(
            self.path,
            f"table of {own.measures}",
            self.opened.table.num_rows,
            columns,
            tuple(self.models),
            metrics,
            None,
        )
