"""The order of the checkpoints of a run: that of training, by the columns of table `checkpoints`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from degen.checkpoints.steps import TrainingPoint, order_of_training, parse_revision


def training_positions(rows: Iterable[Mapping[str, Any]], pattern: str | None = None) -> dict[tuple[str, str], int]:
    """Return the position of each checkpoint in the training of its model, as a dict: model and revision -> position.

    Args:
        rows: rows of table `checkpoints`, in any order.
        pattern: how the names of revisions were read, for runs that have no column `stage` yet.
    """
    models: dict[str, list[TrainingPoint]] = {}
    for row in rows:
        models.setdefault(row["model"], []).append(_point(row, pattern))
    return {
        (model, points[i].revision): position
        for model, points in models.items()
        for position, i in enumerate(order_of_training(points))
    }


def _point(row: Mapping[str, Any], pattern: str | None) -> TrainingPoint:
    if "stage" in row:
        return TrainingPoint(row["stage"], row.get("step"), row.get("tokens_seen"), row["revision"])
    parsed = parse_revision(row["revision"], pattern)
    stage = parsed.stage if parsed is not None else None
    return TrainingPoint(stage, row.get("step"), row.get("tokens_seen"), row["revision"])
