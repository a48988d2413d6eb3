"""What the measurement cost: seconds by phase."""

from __future__ import annotations

from collections.abc import Sequence

from degen.report.content import Block, Section, TableBlock
from degen.report.run_data import ReportData
from degen.tables import Row

COLUMNS = {"model": "model", "phase": "phase", "seconds": "seconds", "checkpoints": "checkpoints", "device": "device"}


def build(data: ReportData) -> Sequence[Block]:
    """Return the seconds of each model and phase, summed over checkpoints."""
    if "timing" not in data.tables:
        return []
    sums: dict[tuple[str, str, str | None], Row] = {}
    for row in data.rows("timing", ("phase", "seconds", "device")):
        keys = (row["model"], row["phase"], row["device"])
        total = sums.setdefault(keys, {"seconds": 0.0, "checkpoints": 0})
        total["seconds"] += row["seconds"] or 0.0
        total["checkpoints"] += 1
    rows = [
        {"model": model, "phase": phase, "device": device, **total} for (model, phase, device), total in sums.items()
    ]
    return [TableBlock("Seconds by phase, over all checkpoints", COLUMNS, rows, "cost")] if rows else []


SECTION = Section("cost", "What it took", "timing", build)
