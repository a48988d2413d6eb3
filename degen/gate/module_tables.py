"""The tables whose figures are of a module, which rules name in front: `delta.rank`, `weights.stable_rank`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from degen.delta.columns import COLUMNS as DELTA_COLUMNS
from degen.delta.columns import DELTA, WHOLE
from degen.tables import Column, Row
from degen.weight_spectra.columns import COLUMNS as WEIGHTS_COLUMNS
from degen.weight_spectra.columns import WEIGHTS


@dataclass(frozen=True)
class ModuleTable:
    """A table with a row for each module of a checkpoint.

    Attributes:
        name: of the table, and of the probe that fills it.
        measures: what it measures, for messages: `updates`.
        columns: its columns.
        needed: columns by which a file of such a table is told from others.
        whole: columns that are of the whole checkpoint, and the same in all of its rows.
    """

    name: str
    measures: str
    columns: Sequence[Column]
    needed: tuple[str, ...]
    whole: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the columns that tell the modules apart."""
        return tuple(column.name for column in self.columns if column.key)

    @property
    def metrics(self) -> list[str]:
        """Names of the columns that rules may be about."""
        return [c.name for c in self.columns if c.type in ("float64", "int64", "bool") and not c.key]

    def module_of(self, row: Row) -> str:
        """Return the name of the module that a row is of, as rules select it."""
        return " ".join(str(row[key]).removesuffix(".weight") for key in self.keys if row[key])


MODULE_TABLES = {
    table.name: table
    for table in (
        ModuleTable(DELTA, "updates", DELTA_COLUMNS, ("model", "revision", "step", "module", "rank"), WHOLE),
        ModuleTable(
            WEIGHTS, "weights", WEIGHTS_COLUMNS, ("model", "revision", "step", "tensor", "part", "stable_rank")
        ),
    )
}


def module_table(metric: str) -> tuple[ModuleTable, str] | None:
    """Return the table that a metric such as `delta.rank` names, and its column; None where it names none."""
    name, dot, column = metric.partition(".")
    return (MODULE_TABLES[name], column) if dot and column and name in MODULE_TABLES else None
