"""The sections of the page, in their order."""

from __future__ import annotations

from collections.abc import Sequence

from .content import Block, Section, table_of
from .run_data import ReportData
from .sections import (
    comparison,
    cost,
    domains,
    failures,
    layers,
    loss_law,
    ngram,
    provenance,
    ranks,
    spectrum,
    training,
    verdicts,
)

FIRST = (
    verdicts.SECTION, comparison.SECTION,
    training.SECTION, layers.SECTION, spectrum.SECTION, ranks.SECTION, ngram.SECTION,
    loss_law.SECTION, domains.SECTION,
)  # fmt: skip
LAST = (failures.SECTION, cost.SECTION, provenance.SECTION)


def sections_of(data: ReportData) -> list[Section]:
    """Return all sections of a page: ours, and a plain one for each table that none of ours reads."""
    known = {table for section in (*FIRST, *LAST) for table in (section.table, *section.also)}
    return [*FIRST, *(plain_section(table) for table in data.tables if table not in known), *LAST]


def plain_section(table: str) -> Section:
    """Return a section that shows a table as it is, with the definitions of its columns."""

    def build(data: ReportData) -> Sequence[Block]:
        rows, definitions = data.plain_rows(table)
        return [table_of(rows, f"Table {table}", table, definitions)] if rows else []

    return Section(f"table-{table}", f"Table {table}", table, build)
