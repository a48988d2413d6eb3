"""`degen scaling fit`: fit a scaling law, with intervals and the compute-optimal frontier."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options, output, parsing, scaling_options
from .option_groups import OptionGroup, expand_groups
from .scaling_tables import print_fits

if TYPE_CHECKING:
    from degen.figures.figure import Figure
    from degen.scaling.fit import AnyFit, FitOptions
    from degen.stats.bootstrap import Bootstrap


class ScalingLawOptions(OptionGroup):
    """The law, the points it is fitted to, and what it predicts."""

    law: Annotated[
        str,
        typer.Option(
            help="hoffmann (E + A/N^alpha + B/D^beta), envelope (of training curves), isoflop (a parabola for each "
            "budget) or kaplan."
        ),
    ] = "hoffmann"
    columns: scaling_options.Columns = None
    tokens_per_step: Annotated[
        int | None,
        typer.Option(help="Training tokens of a step, where nothing else gives the tokens.", show_default=False),
    ] = None
    # Not `fix`, which is another option of `degen saturation` with other defaults.
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
            help="Predict a model from N, D, C or two of them, as in N=70e9,D=1.4e12 or C=1e24; again for more.",
            show_default=False,
        ),
    ] = None
    final: scaling_options.Final = False
    without_highest: Annotated[int, typer.Option(help="How many of the highest losses to leave out.")] = 0

    def fit_options(self, bootstrap: Bootstrap) -> FitOptions:
        """Return the options of the fit.

        Raises:
            DegenError: an option cannot be parsed, or does not go with the law.
        """
        from degen.scaling.fit import LAWS, FitOptions, check_options

        options = FitOptions(
            law=parsing.parse_choice("--law", self.law, LAWS),
            fixed=parsing.parse_floats("--fix", self.fixed, "B=410.7"),
            form=self.form,
            units=self.units,
            without_highest=self.without_highest,
            final=self.final,
            predict=[
                parsing.parse_floats("--predict", text.split(","), "N=70e9,D=1.4e12") for text in self.predict or ()
            ],
            bootstrap=bootstrap,
        )
        check_options(options)
        return options


class BootstrapOptions(OptionGroup):
    """The draws behind the intervals."""

    bootstrap: Annotated[int, typer.Option(help="Bootstrap draws behind the intervals; 0: none.")] = 100
    confidence: scaling_options.Confidence = 0.9
    # Not `seed`, which is the seed of the windows in other commands.
    draws_seed: Annotated[int, typer.Option("--seed", help="Seed of the bootstrap.")] = 0

    @contextmanager
    def run(self) -> Iterator[Bootstrap]:
        """Yield the bootstrap; its progress is shown from the first draw to the end of the context.

        Raises:
            DegenError: the number of draws or the confidence is out of range.
        """
        from degen.cli.progress import ConsoleProgress

        from degen.stats.bootstrap import Bootstrap

        progress = ConsoleProgress()
        bar = progress.track(range(self.bootstrap), self.bootstrap, "bootstrap draws")
        started = False

        def on_draw(done: int, total: int) -> None:
            nonlocal started
            if not started:
                progress.__enter__()
                started = True
            next(bar, None)
            if done == total:
                next(bar, None)  # ends the bar

        bootstrap = Bootstrap(self.bootstrap, self.confidence, self.draws_seed, on_draw)
        try:
            yield bootstrap
        finally:
            if started:
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
    law_options: ScalingLawOptions,
    bootstrap_options: BootstrapOptions,
    by: scaling_options.By = None,
    file_options: scaling_options.FileOptions,
    json: options.Json = False,
) -> None:
    """Fit a scaling law, with bootstrap intervals and the compute-optimal frontier.

    Tokens follow from FLOPs as C/6N where the table has none. The columns of a run, such as parameters and tokens_seen,
    are known by name. --out writes the fitted points or budgets, --json all.
    """
    from degen.scaling.fit import fit as fit_points
    from degen.scaling.groups import judge_groups

    file_options.check(table, by)
    with bootstrap_options.run() as bootstrap:
        fit_options = law_options.fit_options(bootstrap)
        points = scaling_options.read_table(table, law_options.columns, law_options.tokens_per_step)
        fits = judge_groups(points, by, lambda part: fit_points(part, fit_options), output.warn)
    scaling_options.note_source(fits.source(lambda fitted: fitted[1].source))
    for value, fitted in fits.results.items():
        for text in fitted[1].warnings:
            output.warn(text if by is None else f"{by} = {value}: {text}")
    if json:
        document = fits.document(lambda fitted: fitted[1].document(), lambda fitted: fitted[1].source)
        output.result_json({"target": str(table), **document})
    else:
        print_fits({value: fitted[1] for value, fitted in fits.results.items()}, by)
    file_options.write(
        lambda: fits.table(lambda fitted: fitted[1].table()),
        "scaling_fit",
        lambda: _draw(fits.only[0]),
    )


def _draw(fitted: AnyFit) -> Figure:
    from degen.figures.scaling_fit import draw_fit

    return draw_fit(fitted)
