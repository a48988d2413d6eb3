"""The LM heads of a run, to be compared with the data: their own W-error, and their bottleneck rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from degen.errors import DegenError
from degen.runs.run import Run

from .w_error import WErrorCurve, curve_of_singular_values


@dataclass(frozen=True)
class Head:
    """The LM head of the last checkpoint of a model whose spectrum was measured.

    Attributes:
        model: label of the series.
        revision: name of the checkpoint.
        size: the width that the head sees, the most dimensions that it can have.
        curve: W-error of the head's own matrix.
        bottleneck_rank: the smallest rank near the full head's loss; None where it was not measured.
    """

    model: str
    revision: str
    size: int
    curve: WErrorCurve
    bottleneck_rank: int | None


def heads_of(run: Run) -> list[Head]:
    """Return the head of each model of a run.

    Raises:
        DegenError: the run has no spectrum.
    """
    if "spectrum" not in run.tables:
        raise DegenError(
            f"{run.name}: no table spectrum, from which the W-error of a head comes; add it with "
            f"`degen scan SERIES --probes spectrum -o {run.name}`"
        )
    values: dict[tuple[str, str], list[float]] = {}
    table = run.table("spectrum")
    for model, revision, value in zip(
        *(table[name].to_pylist() for name in ("model", "revision", "singular_value")), strict=True
    ):
        values.setdefault((model, revision), []).append(value)
    heads = {}
    for row in run.checkpoints():
        spectrum = np.asarray(values.get((row["model"], row["revision"]), []), dtype=np.float64)
        if np.any(spectrum > 0) and np.all(np.isfinite(spectrum)):  # the last of a model remains
            heads[row["model"]] = Head(
                row["model"], row["revision"], row["head_size"] or len(spectrum), curve_of_singular_values(spectrum),
                row.get("bottleneck_rank"),
            )  # fmt: skip
    if not heads:
        raise DegenError(f"{run.name}: no checkpoint has a spectrum; see the column reason of its table checkpoints")
    return list(heads.values())
