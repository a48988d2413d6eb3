"""`degen saturation`: when each model saturated, or that it did not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options, output, parsing

if TYPE_CHECKING:
    from degen.metrics.curve import Better
    from degen.saturation.extrapolation import Extrapolation
    from degen.saturation.result import SaturationResult

CAUTION = "What turns together need not cause each other: an order of onsets is no cause."


def saturation(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|TABLE",
            help="A run folder; a CSV or Parquet table with model, step and values; or a folder of results of "
            "lm-evaluation-harness.",
            show_default=False,
        ),
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="A column, or a value of the column metric; again for more.",
            show_default="loss, anisotropy and singular entropy, or all",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Rows to take, as in task=lambada_openai; again for more.", show_default=False),
    ] = None,
    better: Annotated[
        str | None, typer.Option(help="Which way is better: min or max.", show_default="as the metric's name says")
    ] = None,
    floor: Annotated[
        list[str] | None,
        typer.Option(
            help="The least change that matters, of all metrics or of one: 0.02, 0.5% (of the best), 0.1lnd "
            "(times ln of the head's width), ppl=1%; again for more.",
            show_default="0.5 % for a loss, 0.1 for anisotropy, 0.1lnd for singular entropy, else 0",
        ),
    ] = None,
    level: Annotated[
        float, typer.Option(help="How often a course that never gets worse may be called saturated.")
    ] = 0.05,
    confidence: Annotated[float, typer.Option(help="Confidence of the intervals.")] = 0.9,
    after: Annotated[
        float,
        typer.Option(
            help="The share of all steps that is the beginning of training. Its checkpoints are left out: a model that "
            "has learnt nothing yet has the best geometry."
        ),
    ] = 0.05,
    sort: Annotated[
        bool, typer.Option("--sort", help="Put the rows of a table in the order of their steps; they are one run.")
    ] = False,
    larger: Annotated[
        str | None,
        typer.Option(
            help="Comma list of the models that the loss law is fitted on, to predict the others.",
            show_default="those that did not saturate and are larger than all that did",
        ),
    ] = None,
    fix: Annotated[
        list[str] | None,
        typer.Option(
            help="A parameter of L = A/N^alpha + B/T^beta + E that is not fitted, as in B=410.7, or none; "
            "again for more.",
            show_default="B=410.7, beta=0.28, E=1.69, as Hoffmann et al.",
        ),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(help="What the fit makes least: log (squares of log loss), linear, or huber (1e-3, of log loss)."),
    ] = "log",
    tokens_per_step: options.TokensPerStep = None,
    to: Annotated[
        Path | None,
        typer.Option(help="The file to write: .parquet, .csv, .json or .duckdb.", show_default=False),
    ] = None,
    json: options.Json = False,
) -> None:
    """Say when each model saturated, with an interval, or that it did not.

    For every model and metric: did it get worse late in training, since when, by how much; which metrics turned
    together; and how far the losses lie above what the larger models predict. The verdicts of a run are kept in it, as
    table saturation.
    """
    from degen.metrics.metric_kinds import parse_floors
    from degen.runs.export import check_result_file, write_table
    from degen.runs.run import read_run
    from degen.saturation import Larger, find_saturation, write_result

    if to is not None:
        check_result_file(to, target)
    result = find_saturation(
        target,
        metrics=metric or (),
        where=parsing.pairs("--where", where, "task=lambada_openai"),
        better=_better(better),
        floors=parse_floors(floor or ()),
        sort=sort,
        level=level,
        confidence=confidence,
        after=after,
        larger=Larger(
            models=parsing.names("--larger", larger) if larger is not None else None,
            fixed=_fixed(fix),
            objective=parsing.choice("--objective", objective, ("log", "linear", "huber")),
            tokens_per_step=tokens_per_step,
        ),
        warn=output.warn,
    )
    if (target / "run.json").is_file():
        write_result(result, read_run(target))
    if to is not None:
        write_table(result.table(), "saturation", to)
    if json:
        output.result_json(_document(target, result))
    else:
        _print(result)


def _better(said: str | None) -> Better | None:
    sides: tuple[Better, ...] = ("min", "max")
    return parsing.choice("--better", said, sides) if said is not None else None


def _fixed(fix: list[str] | None) -> dict[str, float] | None:
    """Parameters of the law that are not fitted; None for the usual ones."""
    if fix == ["none"]:
        return {}
    return parsing.figures("--fix", fix, "B=410.7") if fix else None


def _document(target: Path, result: SaturationResult) -> dict[str, Any]:
    """The one JSON document."""
    law = result.extrapolation
    document: dict[str, Any] = {"target": str(target), "rows": result.rows()}
    if law is not None:
        document["parameters"] = law.parameters
        document["extrapolation"] = {
            "objective": law.fit.objective,
            "confidence": law.confidence,
            "mean_final_gap": law.mean_final_gap,
            "mean_best_gap": law.mean_best_gap,
            "models": [asdict(row) for row in law.rows],
        }
    return document


def _print(result: SaturationResult) -> None:
    rows = []
    for v in result.verdicts:
        onset = f"{v.onset.step} ({v.onset.low} … {v.onset.high})" if v.onset is not None else None
        line = output.sparkline(v.curve.for_plot(), width=30)
        figures = [v.best_step, v.best_value, v.final_value, v.p_value]
        rows.append([v.curve.model, v.curve.metric, line, v.verdict, *figures, onset, v.reason])
    heads = ["model", "metric", "over training", "verdict", "best step", "best", "final", "p", "onset", "reason"]
    output.result_table(heads, rows)
    turned = [[row["model"], row["metric"], row["co_occurrence"]] for row in result.rows() if row["co_occurrence"]]
    if turned:
        output.result_table(["model", "the onset of", "lies"], turned)
        output.result(CAUTION)
    if result.extrapolation is not None:
        _print_law(result.extrapolation)


def _print_law(law: Extrapolation) -> None:
    def percent(value: float | None, low: float | None, high: float | None) -> str | None:
        if value is None:
            return None
        interval = f" ({100 * low:.1f} … {100 * high:.1f})" if low is not None and high is not None else ""
        return f"{100 * value:.1f} %{interval}"

    rows = []
    for r in law.rows:
        final = percent(r.final_gap, r.final_gap_low, r.final_gap_high)
        best = percent(r.best_gap, r.best_gap_low, r.best_gap_high)
        rows.append([r.model, r.parameters, r.role, r.final_loss, r.predicted_final, final, r.best_loss, best])
    heads = ["model", "parameters", "role", "final loss", "expected", "above it", "best loss", "above its own"]
    output.result_table(heads, rows, title="The loss law of the larger models")
    said = []
    for name, p in law.parameters.items():
        fitted = name in law.fit.free
        interval = f" ({p['low']:.4g} … {p['high']:.4g})" if fitted and p["low"] is not None else ""
        said.append(f"{name} = {p['value']:.5g}{interval if fitted else ' fixed'}")
    objective = {"log": "least squares on log loss", "linear": "least squares on loss", "huber": "Huber on log loss"}
    output.result(f"L = A/N^alpha + B/T^beta + E by {objective[law.fit.objective]}: {', '.join(said)}")
    if law.mean_final_gap is not None and law.mean_best_gap is not None:
        output.result(
            f"The predicted models end {100 * law.mean_final_gap:.1f} % above it on average, "
            f"and were {100 * law.mean_best_gap:.1f} % above it at their best."
        )
    if law.no_interval is not None:
        output.result(f"No intervals: {law.no_interval}.")
