"""`degen scaling fit`: a scaling law, with intervals and the compute-optimal frontier."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options, output, parsing, scaling_options
from .option_groups import OptionGroup, expand_groups
from .scaling_tables import print_fit

if TYPE_CHECKING:
    from degen.scaling.fit import FitOptions
    from degen.scaling.result import FitResult
    from degen.stats.bootstrap import Bootstrap


class LawGroup(OptionGroup):
    """The law, and what it is fitted to."""

    law: Annotated[
        str,
        typer.Option(
            help="hoffmann (E + A/N^alpha + B/D^beta), envelope (of training curves), isoflop (a parabola for each "
            "budget) or kaplan."
        ),
    ] = "hoffmann"
    columns: scaling_options.Columns = None
    # Not `fix`, which is another option of `degen saturation`: there three parameters are fixed unless it says others.
    fixed: Annotated[
        list[str] | None,
        typer.Option(
            "--fix",
            help="A parameter of hoffmann that is not fitted, as in B=410.7; again for more.",
            show_default=False,
        ),
    ] = None
    form: Annotated[
        str | None, typer.Option(help="What kaplan takes: N, D, C, ND or NS (S: steps).", show_default="N")
    ] = None
    units: Annotated[
        str | None,
        typer.Option(
            help="How kaplan counts compute, in C_c and --predict: flops or pf-days. A table is in FLOPs, or in "
            "PF-days with --columns pf_days=COLUMN.",
            show_default="flops",
        ),
    ] = None
    predict: Annotated[
        list[str] | None,
        typer.Option(
            help="Say what the law says of a model, as in N=70e9,D=1.4e12 or C=1e24; again for more.",
            show_default=False,
        ),
    ] = None
    final: scaling_options.Final = False
    without_highest: Annotated[int, typer.Option(help="How many of the highest losses to leave out.")] = 0

    def wanted(self, bootstrap: Bootstrap) -> FitOptions:
        """Return what is asked of the fit.

        Raises:
            DegenError: an option that cannot be parsed, or does not go with the law.
        """
        from degen.scaling.fit import LAWS, FitOptions, check_options

        wanted = FitOptions(
            law=parsing.parse_choice("--law", self.law, LAWS),
            fixed=parsing.parse_floats("--fix", self.fixed, "B=410.7"),
            form=self.form,
            units=self.units,
            without_highest=self.without_highest,
            final=self.final,
            predict=[
                parsing.parse_floats("--predict", one.split(","), "N=70e9,D=1.4e12") for one in self.predict or ()
            ],
            bootstrap=bootstrap,
        )
        check_options(wanted)
        return wanted

    def column_names(self) -> dict[str, str]:
        """Return the columns of quantities that are called otherwise."""
        return parsing.parse_pairs("--columns", self.columns.split(","), "params=N") if self.columns is not None else {}


class BootstrapOptions(OptionGroup):
    """The draws behind the intervals."""

    bootstrap: Annotated[int, typer.Option(help="Bootstrap draws behind the intervals; 0: none.")] = 100
    confidence: scaling_options.Confidence = 0.9
    # Not `seed`, which is one of the draw of windows elsewhere.
    draws_seed: Annotated[int, typer.Option("--seed", help="Seed of the bootstrap.")] = 0

    @contextmanager
    def run(self) -> Iterator[Bootstrap]:
        """Yield the bootstrap that is asked for; its progress is shown from the first draw to the end of the context.

        Raises:
            DegenError: a number of draws or a confidence that makes no sense.
        """
        from degen.cli.progress import ConsoleProgress

        from degen.stats.bootstrap import Bootstrap

        progress = ConsoleProgress()
        bar = progress.track(range(self.bootstrap), self.bootstrap, "bootstrap draws")
        begun = False

        def on_draw(done: int, total: int) -> None:
            nonlocal begun
            if not begun:
                progress.__enter__()
                begun = True
            next(bar, None)
            if done == total:
                next(bar, None)  # says that all are done

        bootstrap = Bootstrap(self.bootstrap, self.confidence, self.draws_seed, on_draw)
        try:
            yield bootstrap
        finally:
            if begun:
                progress.__exit__()


@expand_groups
def fit(
    *,
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="A CSV or Parquet table with size, tokens or FLOPs, and loss of each model or checkpoint; or a run "
            "folder.",
            show_default=False,
        ),
    ],
    fit_options: LawGroup,
    bootstrap_options: BootstrapOptions,
    file_options: scaling_options.FileOptions,
    json: options.Json = False,
) -> None:
    """Fit a scaling law, with bootstrap intervals and the compute-optimal frontier.

    Tokens follow from FLOPs as C/6N where the table has none. Columns parameters, tokens_seen and others of a run are
    known by name. The file of --out gets what the fit rests on (points or budgets), --json all.
    """
    from degen.runs.export import write_table
    from degen.scaling.fit import fit as fit_points
    from degen.scaling.read_points import read_points

    file_options.check(table)
    names = fit_options.column_names()
    with bootstrap_options.run() as bootstrap:
        wanted = fit_options.wanted(bootstrap)
        fitted, result = fit_points(read_points(table, names, output.warn), wanted)
    for text in result.warnings:
        output.warn(text)
    if json:
        output.result_json(_document(table, result))
    else:
        print_fit(result)
    if file_options.out_file is not None:
        write_table(result.table(), "scaling_fit", file_options.out_file)
    if file_options.plot_file is not None:
        from degen.scaling.fit_plots import draw_fit

        draw_fit(fitted, file_options.plot_file)


def _document(table: Path, result: FitResult) -> dict[str, Any]:
    """Return the one JSON document."""
    return {
        "target": str(table),
        "law": result.law,
        "formula": result.formula,
        "rests_on": result.rests_on,
        "parameters": result.parameters,
        "fixed": result.fixed,
        "confidence": result.confidence,
        "no_interval": result.no_interval,
        "frontier": result.frontier,
        "predictions": result.predictions,
        "warnings": result.warnings,
        **result.more,
        "rows": result.rows,
    }
