"""What was understood of a table, a log or results, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from degen.hints import some_names

MAX_NAMES = 4  # of models or metrics that the line names


@dataclass(frozen=True)
class SourceSummary:
    """What was understood of a table, a log or results.

    Attributes:
        path: the file or folder as the user gave it.
        kind: what it is, as `table` or `Trainer state`.
        rows: how many rows are used.
        columns: quantity -> the column it is read from, as `step` -> `train/global_step`; for a quantity that comes
            from elsewhere, where from, in brackets: `model` -> `(name of the file)`.
        models: labels of the models.
        metrics: names of the metrics.
        errors: names of the columns of standard errors; empty where none is known, None where none is used.
        left_out: what was left out and why, a phrase each.
        remarks: choices that could have been others, a phrase each.
    """

    path: Path
    kind: str
    rows: int
    columns: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    errors: tuple[str, ...] | None = ()
    left_out: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The summary as one line of text."""
        parts = [f"{self.kind}, {self.rows} row{'s' * (self.rows != 1)}"]
        parts += [f"{quantity} from {column}" for quantity, column in self.columns.items()]
        if len(self.models) > 1:
            parts.append(f"{len(self.models)} models ({some_names(self.models, MAX_NAMES)})")
        if self.metrics:
            parts.append(f"metrics {some_names(self.metrics, MAX_NAMES)}")
        if self.errors is not None:
            parts.append(
                f"standard errors from {some_names(self.errors, MAX_NAMES)}" if self.errors else "no standard errors"
            )
        if self.left_out:
            parts.append(f"left out: {'; '.join(self.left_out)}")
        return "; ".join([f"{self.path}: {', '.join(parts)}", *self.remarks])

    def as_dict(self) -> dict[str, Any]:
        """Return the summary for a JSON document."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "rows": self.rows,
            "columns": dict(self.columns),
            "models": list(self.models),
            "metrics": list(self.metrics),
            "errors": list(self.errors or ()),
            "left_out": list(self.left_out),
            "remarks": list(self.remarks),
        }
