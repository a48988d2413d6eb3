"""Checkpoints that failed, are copies of others, or lack a measurement, with the reasons."""

from __future__ import annotations

from collections.abc import Sequence

from degen.printable import printable
from degen.report.content import Block, Paragraph, Section, TableBlock
from degen.report.run_data import ReportData
from degen.report.words import plural

COLUMNS = {
    "model": "model", "revision": "revision", "step": "step", "status": "status", "duplicate_of": "copy of",
    "reason": "reason",
}  # fmt: skip


def build(data: ReportData) -> Sequence[Block]:
    """Return how many checkpoints were measured, and a table of the others."""
    rows = data.checkpoints
    failed = sum(row["status"] == "failed" for row in rows)
    copies = sum(row["status"] == "duplicate" for row in rows)
    odd = [row for row in rows if row["status"] != "ok" or row.get("reason")]
    text = (
        f"{plural(len(rows), 'checkpoint')}: {len(rows) - failed - copies} measured, {failed} failed, {copies} with "
        "the bytes of an earlier one, whose numbers they share."
    )
    blocks: list[Block] = [Paragraph(text)]
    if odd:
        shown = [
            {name: printable(row[name]) if isinstance(row.get(name), str) else row.get(name) for name in COLUMNS}
            for row in odd
        ]
        blocks.append(TableBlock("Duplicates, failures, and what is missing", COLUMNS, shown, "failures"))
    return blocks


SECTION = Section("failures", "Duplicates and failures", "checkpoints", build)
