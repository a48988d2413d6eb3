"""What a tracker gets of a run: a series for each model, a row for each checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from degen.hashing import fingerprint
from degen.tables import CHECKPOINTS, ENGINE_TABLES, Row

from .figure_names import figure_name, layer_figure_name

if TYPE_CHECKING:
    import pyarrow as pa

    from degen.runs.run import Run

LAYERS = "layers"
# Settings that a run may gain in; it is the same run in a tracker.
_GROWING = ("series", "steps", "probes", "options", "threads", "batch_size", "device")


@dataclass(frozen=True)
class TrackedSeries:
    """One model of a run, or one stage of its training, as one run of a tracker.

    Attributes:
        name: the model, with `/stage` behind it where the run has stages.
        identity: 16 hexadecimal digits, the same whenever the same run is replayed, also after it has grown.
        settings: how it was measured, for the tracker's configuration.
        rows: training step -> figures by name, in the order of the steps. Every value is finite.
        without_step: how many measured checkpoints have no step, and so no row.
    """

    name: str
    identity: str
    settings: dict[str, Any]
    rows: dict[int, dict[str, float]] = field(default_factory=dict)
    without_step: int = 0


def tracked_series(run: Run) -> list[TrackedSeries]:
    """Return the series of a run for a tracker.

    Raises:
        DegenError: a table of the run is damaged.
    """
    asked = dict(run.info.get("asked", {}))
    begun_with = [str(name) for name in asked.get("series", [])[:1]]
    settings = {key: value for key, value in asked.items() if key not in _GROWING}
    checkpoints = run.table(CHECKPOINTS)
    columns = _figures(checkpoints, CHECKPOINTS)
    layers = _layer_figures(run)
    found: dict[str, dict[str, Any]] = {}
    for row in checkpoints.to_pylist():
        if row["status"] == "failed":
            continue
        name = f"{row['model']}/{row['stage']}" if row.get("stage") is not None else row["model"]
        series = found.setdefault(name, {"rows": {}, "without_step": 0})
        if row["step"] is None:
            series["without_step"] += 1
            continue
        figures = {figure_name(column): row[column] for column in columns}
        figures |= layers.get((row["model"], row["revision"]), {})
        series["rows"][row["step"]] = dict(_finite(figures))
    return [
        TrackedSeries(
            name, fingerprint({"series": begun_with, "model": name, "settings": settings})[:16], settings,
            dict(sorted(series["rows"].items())), series["without_step"],
        )
        for name, series in found.items()
    ]  # fmt: skip


def _figures(table: pa.Table, name: str) -> list[str]:
    """Return the columns of a table that hold figures of probes, and the training tokens."""
    import pyarrow as pa

    engine = {column.name for column in ENGINE_TABLES[name]} | {"model", "revision", "step"}
    numeric = [f.name for f in table.schema if pa.types.is_floating(f.type) or pa.types.is_integer(f.type)]
    return [column for column in numeric if column not in engine or column == "tokens_seen"]


def _layer_figures(run: Run) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the figures of all layers by name, for each model and revision."""
    if LAYERS not in run.tables:
        return {}
    table = run.table(LAYERS)
    columns = _figures(table, LAYERS)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in table.to_pylist():
        of_checkpoint = found.setdefault((row["model"], row["revision"]), {})
        of_checkpoint |= {layer_figure_name(column, row["layer"], row["site"]): row[column] for column in columns}
    return found


def _finite(figures: Row) -> Iterator[tuple[str, float]]:
    """Yield the figures that were measured: trackers draw neither null nor NaN nor infinity."""
    for name, value in figures.items():
        if value is not None and math.isfinite(value):
            yield name, float(value)
