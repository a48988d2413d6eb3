"""Short tables of a result: a row for each checkpoint, and one for each kind of module over its layers."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Sequence

from degen.tables import Row

from .result import DeltaResult, MeasuredDelta
from .update import taxonomy_of

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_MEDIANS = ("rank_given", "rank", "effective_rank", "stable_rank", "k90", "relative_norm", "overlap_output",
            "overlap_input", "amplification")  # fmt: skip


def median(rows: Iterable[Row], column: str) -> float | None:
    """Return the median of a column over the rows that have it; None where none has."""
    values = [row[column] for row in rows if row[column] is not None]
    return statistics.median(values) if values else None


def summarise(result: DeltaResult) -> list[Row]:
    """Return a row for each adapter and fine-tune, medians over its modules.

    Returns:
        Rows with `model`, `revision`, `step`, `kind`, `taxonomy`, `modules` (how many parameters are changed), the
        medians, `relative_norm` of all together, sqrt(Σ‖ΔW‖²_F/Σ‖W‖²_F), `intruders`, their number over all modules,
        and the columns of the whole.
    """
    return [one.keys | {"kind": one.kind, "taxonomy": taxonomy_of(one.kind)} | _summary(one) for one in result.measured]


def summary_columns(rows: Sequence[Row]) -> Row:
    """Return the figures of all modules of one checkpoint together.

    Returns:
        `rank` and `effective_rank`, medians; `relative_norm`, sqrt(Σ‖ΔW‖²_F/Σ‖W‖²_F); `intruders`, their number; None
        where no module has them.
    """
    both = [row for row in rows if row["norm"] is not None and row["base_norm"] is not None]
    base = math.fsum(row["base_norm"] ** 2 for row in both)
    counted = [row["intruders"] for row in rows if row["intruders"] is not None]
    return {
        "rank": median(rows, "rank"),
        "effective_rank": median(rows, "effective_rank"),
        "relative_norm": math.sqrt(math.fsum(row["norm"] ** 2 for row in both) / base) if base > 0 else None,
        "intruders": sum(counted) if counted else None,
    }


def _summary(one: MeasuredDelta) -> Row:
    rows = one.measurement.rows
    first = rows[0] if rows else dict.fromkeys(("total_share", "head_touched", "embedding_touched"))
    return {name: median(rows, name) for name in _MEDIANS} | summary_columns(rows) | {
        "modules": len(rows), "trained": one.trained, "total_share": first["total_share"],
        "head_touched": first["head_touched"], "embedding_touched": first["embedding_touched"],
    }  # fmt: skip


def by_module_kind(rows: Sequence[Row]) -> list[Row]:
    """Return a row for each kind of module of one checkpoint: modules that differ in the layer alone, their medians.

    Returns:
        Rows with `module` (`*` for the number of the layer), `count`, `shape`, `trained` in all, the medians,
        `intruders` in all, and the first `reason`.
    """
    groups: dict[tuple[str, int | None, int | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((_NUMBER.sub("*", row["module"]), row["rows"], row["columns"]), []).append(row)
    summaries = []
    for (module, n, m), members in groups.items():
        counted = [row["intruders"] for row in members if row["intruders"] is not None]
        summaries.append({
            "module": module, "count": len(members), "shape": f"{n} × {m}" if n is not None else None,
            "trained": sum(row["trained"] or 0 for row in members),
            **{name: median(members, name) for name in _MEDIANS},
            "intruders": sum(counted) if counted else None,
            "reason": next((row["reason"] for row in members if row["reason"]), None),
        })  # fmt: skip
    return summaries


def pair_overlaps(overlaps: Sequence[Row]) -> list[Row]:
    """Return the medians over modules of the overlap of each pair of models."""
    pairs: dict[tuple[str, str], list[Row]] = {}
    for row in overlaps:
        pairs.setdefault((row["model"], row["other"]), []).append(row)
    return [
        {"model": model, "other": other, "modules": len(rows), "leading": median(rows, "leading"),
         "overlap_output": median(rows, "overlap_output"), "overlap_input": median(rows, "overlap_input")}
        for (model, other), rows in pairs.items()
    ]  # fmt: skip


def sum_medians(sums: Sequence[Row]) -> Row:
    """Return the medians over modules of the sum of several updates."""
    names = ("rank_sum", "rank", "effective_rank", "stable_rank", "k90", "interference")
    return {"modules": len(sums), **{name: median(sums, name) for name in names}}
