"""`degen scaling`: scaling laws, slopes of architectures, the Pareto frontier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options, output, parsing, scaling_compare

if TYPE_CHECKING:
    from degen.scaling.result import FitResult
    from degen.stats.bootstrap import Bootstrap

app = typer.Typer(
    help="Fit scaling laws to losses of models of many sizes, and compare architectures.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def fit(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="A CSV or Parquet table with size, tokens or FLOPs, and loss of each model or checkpoint; or a run "
            "folder.",
            show_default=False,
        ),
    ],
    law: Annotated[
        str,
        typer.Option(
            help="hoffmann (E + A/N^alpha + B/D^beta), envelope (of training curves), isoflop (a parabola for each "
            "budget) or kaplan."
        ),
    ] = "hoffmann",
    columns: scaling_compare.Columns = None,
    # Not `fix`, which is another option of `degen saturation`: there three parameters are fixed unless it says others.
    fixed: Annotated[
        list[str] | None,
        typer.Option(
            "--fix",
            help="A parameter of hoffmann that is not fitted, as in B=410.7; again for more.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        str | None, typer.Option(help="What kaplan takes: N, D, C, ND or NS (S: steps).", show_default="N")
    ] = None,
    units: Annotated[
        str | None,
        typer.Option(
            help="How kaplan counts compute, in C_c and --predict: flops or pf-days. A table is in FLOPs, or in "
            "PF-days with --columns pf_days=COLUMN.",
            show_default="flops",
        ),
    ] = None,
    predict: Annotated[
        list[str] | None,
        typer.Option(
            help="Say what the law says of a model, as in N=70e9,D=1.4e12 or C=1e24; again for more.",
            show_default=False,
        ),
    ] = None,
    final: scaling_compare.Final = False,
    without_highest: Annotated[int, typer.Option(help="How many of the highest losses to leave out.")] = 0,
    bootstrap: Annotated[int, typer.Option(help="Bootstrap draws behind the intervals; 0: none.")] = 100,
    confidence: scaling_compare.Confidence = 0.9,
    # Not `seed`, which is one of the draw of windows elsewhere.
    draws_seed: Annotated[int, typer.Option("--seed", help="Seed of the bootstrap.")] = 0,
    plot_file: scaling_compare.PlotFile = None,
    out_file: scaling_compare.OutFile = None,
    json: options.Json = False,
) -> None:
    """Fit a scaling law, with bootstrap intervals and the compute-optimal frontier.

    Tokens follow from FLOPs as C/6N where the table has none. Columns parameters, tokens_seen and others of a run are
    known by name. The file of --out gets what the fit rests on (points or budgets), --json all.
    """
    from degen.runs.export import write_table
    from degen.scaling.fit import LAWS, FitOptions, check_options
    from degen.scaling.fit import fit as fit_points
    from degen.scaling.read_points import read_points

    scaling_compare.check_files(table, plot_file, out_file)
    named = parsing.pairs("--columns", columns.split(","), "params=N") if columns is not None else {}
    chosen, finish = _bootstrap(bootstrap, confidence, draws_seed)
    wanted = FitOptions(
        law=parsing.choice("--law", law, LAWS),
        fixed=parsing.figures("--fix", fixed, "B=410.7"),
        form=form,
        units=units,
        without_highest=without_highest,
        final=final,
        predict=[parsing.figures("--predict", one.split(","), "N=70e9,D=1.4e12") for one in predict or ()],
        bootstrap=chosen,
    )
    check_options(wanted)
    points = read_points(table, named, output.warn)
    try:
        found, answer = fit_points(points, wanted)
    finally:
        finish()
    for text in answer.warnings:
        output.warn(text)
    if out_file is not None:
        write_table(answer.table(), "scaling_fit", out_file)
    if plot_file is not None:
        from degen.scaling.fit_plots import draw_fit

        draw_fit(found, plot_file)
    if json:
        output.result_json(_document(table, answer))
    else:
        _print(answer)


app.command("fit")(fit)
app.command("slopes")(scaling_compare.slopes)
app.command("pareto")(scaling_compare.pareto)


def _bootstrap(draws: int, confidence: float, seed: int) -> tuple[Bootstrap, Any]:
    """What is asked of the bootstrap, its progress shown from the first draw on; and what ends that."""
    from degen.cli.progress import Lines

    from degen.stats.bootstrap import Bootstrap

    lines = Lines()
    bar = lines.counted(range(draws), draws, "bootstrap draws")
    begun = False

    def told(done: int, total: int) -> None:
        nonlocal begun
        if not begun:
            lines.__enter__()
            begun = True
        next(bar, None)
        if done == total:
            next(bar, None)  # says that all are done

    def finish() -> None:
        if begun:
            lines.__exit__()

    return Bootstrap(draws, confidence, seed, told), finish


def _document(table: Path, answer: FitResult) -> dict[str, Any]:
    """The one JSON document."""
    return {
        "target": str(table),
        "law": answer.law,
        "formula": answer.formula,
        "rests_on": answer.rests_on,
        "parameters": answer.parameters,
        "fixed": answer.fixed,
        "confidence": answer.confidence,
        "no_interval": answer.no_interval,
        "frontier": answer.frontier,
        "predictions": answer.predictions,
        "warnings": answer.warnings,
        **answer.more,
        "rows": answer.rows,
    }


def _print(answer: FitResult) -> None:
    rows = []
    for name, p in answer.parameters.items():
        rows.append([name, p["value"], *([None, None] if name in answer.fixed else [p["low"], p["high"]]),
                     "fixed" if name in answer.fixed else None])  # fmt: skip
    output.result(f"{answer.formula}, fitted to {answer.rests_on}")
    output.result_table(["parameter", "value", "low", "high", ""], rows)
    if answer.frontier:
        _print_models("The best model for its compute", answer.frontier)
    if answer.predictions:
        _print_models("Predicted", answer.predictions)
    if answer.no_interval is None:
        output.result(f"low … high: {100 * answer.confidence:g} % intervals, from the bootstrap.")
    else:
        output.result(f"No intervals: {answer.no_interval}.")


def _print_models(title: str, models: Sequence[dict[str, Any]]) -> None:
    """A table with each value beside its interval."""
    names = list(dict.fromkeys(name for row in models for name in row if not name.endswith(("_low", "_high"))))

    def said(row: dict[str, Any], name: str) -> Any:
        low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
        interval = f" ({output.cell(low)} … {output.cell(high)})" if low is not None and high is not None else ""
        return f"{output.cell(row[name])}{interval}" if name in row else None

    output.result_table(names, [[said(row, name) for name in names] for row in models], title=title)
