"""`degen compare`: two runs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options, output, parsing
from .completion import complete_metric

if TYPE_CHECKING:
    from degen.run_comparison import Comparison
    from degen.tables import Row


def _run(name: str, meaning: str) -> Any:
    return typer.Argument(metavar=name, help=meaning, show_default=False)


def compare(
    first: Annotated[str, _run("RUN", "The run folder, or its URL, that differences start from.")],
    second: Annotated[str, _run("OTHER", "The run folder, or its URL, to compare with it.")],
    compared_metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="A column of table checkpoints; again for more.",
            show_default="loss, anisotropy, singular entropy, bottleneck rank",
            autocompletion=complete_metric,
        ),
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option(help="Models to compare, as in base=wide; again for more.", show_default="those of equal name"),
    ] = None,
    in_common: Annotated[
        str | None,
        typer.Option(
            "--at", help="What checkpoints must have in common: step or tokens.", show_default="step, else tokens"
        ),
    ] = None,
    formerly_by: Annotated[str | None, options.former("--by", "--at")] = None,
    confidence: Annotated[float, typer.Option(help="Confidence of the intervals.")] = 0.9,
    every: Annotated[
        bool, typer.Option("--all", help="Show every checkpoint in common, not only the last one.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Compare two runs: the difference of each metric at equal step or tokens, and where the verdicts differ.

    The difference is OTHER − RUN. Losses on the same windows are compared window by window: scan the second run with
    --sample RUN/sample.parquet.
    """
    from degen.run_comparison import compare_runs
    from degen.run_comparison.compare import Unit
    from degen.runs.run import read_run

    units: tuple[Unit, ...] = ("step", "tokens")
    at = in_common if in_common is not None else formerly_by
    comparison = compare_runs(
        read_run(first),
        read_run(second),
        metrics=compared_metric or (),
        pairs=parsing.parse_pairs("--pair", pair, "base=wide"),
        unit=parsing.parse_choice("--at", at, units) if at is not None else None,
        confidence=confidence,
        warn=output.warn,
    )
    if json:
        document = {"first": str(first), "second": str(second), "unit": comparison.unit, "confidence": confidence}
        left_out = {"verdicts": comparison.verdicts, "left_out": comparison.left_out}
        output.result_json({**document, "rows": comparison.rows, **left_out})
        return
    _print(comparison, every, (first, second))


def _print(comparison: Comparison, every: bool, runs: tuple[str, str]) -> None:
    rows = [row for row in comparison.rows if every or row["is_last"]]
    heads = ["model", "metric", comparison.unit, "first", "second", "difference", "second is"]
    output.result_table(heads, [_cells(row, comparison) for row in rows])
    differing = [row for row in comparison.verdicts if row["differ"]]
    if differing:
        cells = [[_names(row), row["metric"], _verdict(row, "first"), _verdict(row, "second")] for row in differing]
        output.result_table(["model", "metric", "first", "second"], cells, title="Verdicts that differ")
    elif comparison.verdicts:
        output.result(f"The verdicts agree ({len(comparison.verdicts)} of them).")
    paired = "paired by window for the loss" if any(row["paired"] for row in comparison.rows) else "unpaired"
    output.result(f"first: {runs[0]}; second: {runs[1]}")
    output.result(f"Differences are second − first, with {comparison.confidence:.0%} intervals, {paired}.")
    for line in comparison.left_out:
        output.note(f"not compared: {line}")


def _cells(row: Row, comparison: Comparison) -> list[object]:
    at = row[comparison.unit]
    difference = output.format_interval(row["difference"], row["low"], row["high"])
    return [_names(row), row["metric"], at, row["first"], row["second"], difference, row["verdict"]]


def _names(row: Row) -> str:
    return row["model"] if row["model"] == row["other_model"] else f"{row['model']}, {row['other_model']}"


def _verdict(row: Row, side: str) -> str:
    """Return the verdict of one run with its onset, where it has one."""
    onset = row[f"{side}_onset_step"]
    if onset is None:
        return str(row[f"{side}_verdict"])
    return f"{row[f'{side}_verdict']} at " + output.format_interval(
        onset, row[f"{side}_onset_low"], row[f"{side}_onset_high"]
    )
