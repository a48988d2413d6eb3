"""A planned scan model by model: how long it takes on the devices, and what would break first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from degen.planning.devices import GB, HERE, PlannedDevices
from degen.tables import Row

NETWORK = 1e9 / 8  # bytes/s of a network of 1 Gbit/s, for comparison
PHASES = {"reading": "reading files", "pass": "the pass", "head": "the head", "rest": "opening and checking"}


@dataclass(frozen=True)
class PlanSummary:
    """A planned scan.

    Attributes:
        models: a row for each model: checkpoints, bytes, FLOPs, memory, devices it needs, hours of one device.
        hours: that the scan takes on all devices together; None where a model fits on none or its time is unknown.
        breaks: what would break first, and what to do, the worst first; empty where nothing is known to.
    """

    models: list[Row]
    hours: float | None
    breaks: list[str]


def summarize_plan(rows: Sequence[Row], devices: PlannedDevices) -> PlanSummary:
    """Return the rows of `estimate_costs` for planned devices, put together by model.

    Checkpoints are independent: each goes to one device, or to as many as hold the model (`--device-map auto`), which
    then compute in turn and are no faster together. Hours on all devices = Σ seconds · devices of the model / count,
    and at least those of the longest checkpoint; the start of a process is added once.
    """
    models: dict[str, list[Row]] = {}
    for row in rows:
        models.setdefault(row["model"], []).append(row)
    summed = [_model(name, of_model, devices) for name, of_model in models.items()]
    needed = [row["devices"] for row in summed if row["devices"] is not None]
    hours = None
    if needed and max(needed) <= devices.count:
        busy = sum(row["hours"] * row["devices"] for row in summed if row["devices"] is not None) / devices.count
        longest = max(row["seconds"] or 0.0 for row in rows)
        hours = max(busy, longest / 3600) + devices.rates.start / 3600
    return PlanSummary(summed, hours, _breaks(summed, devices))


def _model(name: str, rows: Sequence[Row], devices: PlannedDevices) -> Row:
    """Return the row of a model; nulls where no checkpoint of it can be measured."""
    known = [row for row in rows if row["reason"] is None]
    memory = max((row["memory"] for row in known), default=None)
    phases = [row["longest"] for row in known if row["longest"] is not None]
    return {
        "model": name,
        "checkpoints": len(rows),
        "parameters": max((row["parameters"] for row in known), default=None),
        "bytes": sum(row["bytes"] for row in known) if known else None,
        "flops": sum(row["flops"] for row in known) if known else None,
        "memory": memory,
        "devices": None if memory is None else max(math.ceil(memory / devices.rates.memory), 1),
        "hours": sum(row["seconds"] for row in known) / 3600 if known else None,
        "longest": max(phases, key=phases.count) if phases else None,
    }


def _breaks(models: Sequence[Row], devices: PlannedDevices) -> list[str]:
    """Return what would break or bind first, the worst first."""
    known = [row for row in models if row["devices"] is not None]
    found = []
    too_large = [row for row in known if row["devices"] > devices.count]
    if too_large:
        row = max(too_large, key=lambda r: r["memory"])
        where = "this machine's memory" if devices.name == HERE else f"{devices.count} × {devices.name}"
        found.append(
            f"memory: {row['model']} takes {row['memory'] / GB:,.0f} GB, more than {where}; plan for "
            f"{row['devices']} of them, or expect --device-map auto to keep the rest on disk and read it for each batch"
        )
    spread = [row["model"] for row in known if 1 < row["devices"] <= devices.count]
    if spread:
        found.append(
            f"memory of one device: {', '.join(spread)} does not fit; --device-map auto spreads it, and the devices "
            "then compute in turn"
        )
    size, hours = sum(row["bytes"] for row in known), sum(row["hours"] for row in known)
    network = size / NETWORK / 3600
    if size and network > hours / devices.count:
        found.append(
            f"reading: {size / 1e12:,.3g} TB come over a network of 1 Gbit/s in {network:,.3g} h, longer than all "
            "else; fetch them beforehand, or use storage near the devices"
        )
    if known and all(row["longest"] == "rest" for row in known):
        found.append("opening and checking takes longest: more tokens cost little, a faster device saves little")
    return found


def plan_document(summary: PlanSummary, devices: PlannedDevices) -> Mapping[str, Any]:
    """Return a planned scan as one document for `--json`."""
    return {
        "device": devices.name, "count": devices.count, "hours": summary.hours, "breaks": summary.breaks,
        "models": summary.models,
    }  # fmt: skip
