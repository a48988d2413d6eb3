"""`degen scan --dry-run --for`: a scan planned for devices that need not be here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import output

if TYPE_CHECKING:
    from degen.planning.devices import PlannedDevices

COLUMNS = ("model", "checkpoints", "parameters", "to read", "FLOPs", "memory", "devices", "hours", "longest")


def print_plan(costs: list[dict[str, Any]], devices: PlannedDevices, json: bool) -> None:
    """Print what a scan would take on some devices, by model, and what would break first."""
    from degen.scanning.plan_summary import plan_document, summarize_plan

    summary = summarize_plan(costs, devices)
    if json:
        output.result_json({"rows": costs, "plan": plan_document(summary, devices)})
        return
    output.result_table(COLUMNS, [[_cell(name, value) for name, value in row.items()] for row in summary.models])
    count = sum(row["checkpoints"] for row in summary.models)
    where = "this machine, idle" if devices.name == "here" else f"{devices.count} × {devices.name}"
    time = "the time is not known" if summary.hours is None else f"{_hours(summary.hours)} h"
    output.result(f"{count} checkpoints on {where}: {time}")
    for number, reason in enumerate(summary.breaks):
        output.result(f"{'breaks first' if number == 0 else 'then'}: {reason}")


def _cell(name: str, value: Any) -> Any:
    """Return a cell of the table: bytes as GB, FLOPs and parameters with three digits."""
    if value is None:
        return None
    if name in ("bytes", "memory"):
        return f"{value / 1e9:,.1f} GB"
    if name in ("flops", "parameters"):
        return f"{value:.2e}"
    return _hours(value) if name == "hours" else value


def _hours(hours: float) -> str:
    """Return hours with three digits."""
    return f"{hours:,.3g}" if hours < 1000 else f"{hours:,.0f}"
