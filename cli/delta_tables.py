"""The tables that `degen delta` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from degen.delta import DeltaResult
    from degen.delta.composition import Composition
    from degen.tables import Row

_COST = ("float32", "bfloat16")  # dtypes that are printed; --json has all
_OPTIMIZERS = ("momentum", "lion", "adamw", "adamw-8bit")
_FIGURES = (
    ("rank given", "rank_given"), ("rank", "rank"), ("effective", "effective_rank"), ("stable", "stable_rank"),
    ("k90", "k90"), ("‖ΔW‖/‖W‖", "relative_norm"), ("overlap out", "overlap_output"), ("overlap in", "overlap_input"),
    ("amplification", "amplification"), ("intruders", "intruders"),
)  # fmt: skip


def print_deltas(result: DeltaResult, every_module: bool) -> None:
    """Print what was measured: a line for each adapter, its modules, trajectories, compositions and costs."""
    from degen.delta.summary import summarise

    summaries = summarise(result)
    heads = ["model", "revision", "step", "kind", "taxonomy", "modules", "trained", "share", "head touched"]
    names = ["model", "revision", "step", "kind", "taxonomy", "modules", "trained", "total_share", "head_touched"]
    _print(heads, names, summaries)
    output.result("rank: medians over modules of the numerical rank; effective exp(H(σ/Σσ)); k90 holds 90 % of Σσ²")
    _print_modules(result, every_module)
    _print_series(result, summaries)
    if result.composition is not None:
        _print_composition(result.composition)
    _print_costs(result)


def _print(heads: Sequence[str], names: Sequence[str], rows: Sequence[Row], title: str | None = None) -> None:
    """Print rows, without the columns that none of them fills."""
    kept = [i for i, name in enumerate(names) if any(row[name] is not None for row in rows)]
    cells = [[_cell(row[names[i]]) for i in kept] for row in rows]
    output.result_table([heads[i] for i in kept], cells, title=title)


def _cell(value: Any) -> Any:
    return ("yes" if value else "no") if isinstance(value, bool) else value


def _print_modules(result: DeltaResult, every_module: bool) -> None:
    """Print the modules of the last checkpoint of each model."""
    last = {one.source.checkpoint.model: one for one in result.measured}
    for one in last.values():
        print_modules(one.measurement.rows, str(one.source.checkpoint), every_module)


def print_modules(rows: Sequence[Row], title: str, every_module: bool = False) -> None:
    """Print the modules of one checkpoint, from its rows of table `delta`; those alike over the layers by medians."""
    from degen.delta.summary import by_module_kind

    if every_module:
        shown = [row | {"shape": f"{row['rows']} × {row['columns']}" if row["rows"] else None} for row in rows]
        counted: list[tuple[str, str]] = []
    else:
        shown, counted = by_module_kind(rows), [("layers", "count")]
    columns = [("module", "module"), *counted, ("shape", "shape"), ("trained", "trained"), *_FIGURES]
    columns.append(("reason", "reason"))
    _print([head for head, _ in columns], [name for _, name in columns], shown, title=title)


def _print_series(result: DeltaResult, summaries: Sequence[Row]) -> None:
    """Print the used rank over steps, and the dimension of the trajectory, of each series."""
    models = dict.fromkeys(row["model"] for row in summaries)
    for model in models:
        rows = [row for row in summaries if row["model"] == model]
        if len(rows) > 1:
            columns = [("step", "step"), ("revision", "revision"), *_FIGURES]
            _print([h for h, _ in columns], [n for _, n in columns], rows, title=f"{model} over training, medians")
            output.result(f"effective rank {output.sparkline([row['effective_rank'] for row in rows])}")
        if model in result.trajectories:
            t = result.trajectories[model]
            output.result(
                f"trajectory of {model}: participation ratio {output.format_cell(t.participation_ratio)}, "
                f"{t.d90} of {t.points} directions hold 90 %"
            )


def _print_composition(together: Composition) -> None:
    """Print the overlap of each pair of models, and their sum."""
    from degen.delta.summary import pair_overlaps, sum_medians

    if together.overlaps:
        heads = ["model", "other", "modules", "directions", "overlap out", "overlap in"]
        names = ["model", "other", "modules", "leading", "overlap_output", "overlap_input"]
        _print(heads, names, pair_overlaps(together.overlaps), title="Together: overlap of subspaces, medians")
    if together.sums:
        heads = ["modules", "ranks added", "rank of the sum", "effective", "stable", "k90", "interference"]
        names = ["modules", "rank_sum", "rank", "effective_rank", "stable_rank", "k90", "interference"]
        _print(heads, names, [sum_medians(together.sums)], title="The sum of all, medians")
        output.result("interference: ‖ΣΔW‖²/Σ‖ΔW‖² − 1, 0 for updates that do not meet")
    for note in together.notes:
        output.warn(note)


def _print_costs(result: DeltaResult) -> None:
    """Print what training takes, of the last checkpoint of each model and of the whole model beside it."""
    last = {one.source.checkpoint.model: one for one in result.measured}
    lines: list[list[Any]] = []
    for model, one in last.items():
        costs = one.costs()
        for dtype in _COST:
            lines.append(_cost_line([model, one.kind, dtype], costs, dtype, ""))
    first = next(iter(last.values()))
    if first.parameters is not None:
        for dtype in _COST:
            lines.append(_cost_line(["whole model", "full", dtype], first.costs(), dtype, "full_"))
    heads = ["", "kind", "dtype", "gradients", *(f"states of {name}" for name in _OPTIMIZERS)]
    output.result_table(heads, lines, title="Memory of training, in MB")


def _cost_line(begin: list[Any], costs: Sequence[Row], dtype: str, of: str) -> list[Any]:
    rows = {row["optimizer"]: row for row in costs if row["dtype"] == dtype}
    states = [rows[name][f"{of}state_bytes"] for name in _OPTIMIZERS]
    return [*begin, *(count / 1e6 for count in (rows["adamw"][f"{of}gradient_bytes"], *states))]
