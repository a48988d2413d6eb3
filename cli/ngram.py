"""`degen ngram`: how many dimensions the next-token distributions of a corpus need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options, output
from .completion import complete_corpus
from .ngram_tables import print_ngrams
from .option_groups import OptionGroup, expand_groups

if TYPE_CHECKING:
    from degen.ngram import NgramResult, NgramSettings
    from degen.runs.run import Run


Corpora = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CORPUS]...",
        help="Text to count: a file (.jsonl, .jsonl.zst, .jsonl.gz, .parquet, .txt), a folder of those, "
        "hf://org/dataset[:split], a name of `degen corpora`, or demo. None: demo.",
        show_default=False,
        autocompletion=complete_corpus,
    ),
]


class NgramOptions(OptionGroup):
    """The text that is read, and the matrix that is made of it.

    Those named as options of a scan mean the same, but have other defaults and words, and so names of their own here.
    """

    orders: Annotated[
        list[int] | None,
        typer.Option(
            "--order",
            help="n of the n-grams: a context is n − 1 tokens; again for more.",
            show_default="5",
        ),
    ] = None
    most_tokens: Annotated[int, typer.Option("--tokens", help="The most tokens to read of each corpus.")] = 1_000_000
    longest_window: Annotated[
        int | None,
        typer.Option("--context", help="Longest window, in tokens, as in a scan.", show_default="whole documents"),
    ] = None
    contexts: Annotated[
        int, typer.Option(help="The most contexts, rows of the matrix; of more, so many are drawn by seed.")
    ] = 8_000
    least_count: Annotated[int, typer.Option(help="Take only contexts that are seen so often.")] = 1
    weighted: Annotated[
        bool,
        typer.Option(
            "--weighted",
            help="Multiply each row by the root of its context's count, so that errors count as often as they occur; "
            "the paper does not.",
        ),
    ] = False
    sample_seed: Annotated[
        int, typer.Option("--seed", help="Seed of the order of documents and of the sample of contexts.")
    ] = 0

    def settings(self) -> NgramSettings:
        """Return the settings of the measurement.

        Raises:
            DegenError: a value is out of range.
        """
        from degen.ngram import NgramSettings

        return NgramSettings(
            orders=tuple(self.orders) if self.orders else NgramSettings.orders, tokens=self.most_tokens,
            context=self.longest_window, contexts=self.contexts, least_count=self.least_count, weighted=self.weighted,
            seed=self.sample_seed,
        )  # fmt: skip


@expand_groups
def ngram(
    *,
    corpora: Corpora = None,
    tokenizers: Annotated[
        list[str] | None,
        typer.Option(
            "--tokenizer",
            help="Tokenizer folder, .gguf file or name on the hub, or demo; again for more.",
            show_default="demo, for its own text",
        ),
    ] = None,
    ngram_options: NgramOptions,
    run: Annotated[
        Path | None,
        typer.Option(
            help="A run whose heads are compared with the data; it keeps the result as table ngram.", show_default=False
        ),
    ] = None,
    out_file: options.ResultFile = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--plot", help="Draw W-error against dimension into this file (.png, .pdf, .svg).", show_default=False
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Measure how many dimensions the next-token distributions of a corpus need.

    W holds p(token | context) for contexts of n − 1 tokens. Its W-error at dimension d is what the best approximation
    of rank d leaves, sqrt(Σ_{i>d} σᵢ²) / ‖W‖_F; given are the curve, and the dimensions at which it falls to 0.5 and
    0.1. The head of a language model has no more dimensions than its width.
    """
    corpora, names = corpora or ["demo"], tokenizers or []
    _check_files(out_file, figure, [*corpora, *names, *([run] if run is not None else [])])
    settings = ngram_options.settings()
    output.first_word("counting n-grams")
    from degen.cli.progress import ConsoleProgress, amount_bar

    from degen.ngram import measure_ngrams
    from degen.runs.run import read_run

    opened = read_run(run) if run is not None else None
    if opened is not None:
        opened.check_writable()  # before anything is counted
    with amount_bar() as on_amount:
        result = measure_ngrams(corpora, names, settings, run=opened, progress=ConsoleProgress(), on_amount=on_amount)
    if json:
        output.result_json({"rows": result.rows()})
    else:
        print_ngrams(result)
    _keep(result, opened, out_file, figure)


def _check_files(out: Path | None, plot: Path | None, sources: list[str | Path]) -> None:
    """Refuse files that cannot be written before anything is counted."""
    if out is not None:
        from degen.runs.export import check_ending
        from degen.runs.output_files import check_output

        check_ending(out)
        check_output(out, sources, "--out")
    if plot is not None:
        from degen.figures.export import check_figure
        from degen.runs.output_files import check_output

        check_figure(plot)
        check_output(plot, sources, "--plot")


def _keep(result: NgramResult, run: Run | None, out: Path | None, plot: Path | None) -> None:
    """Write the result into the run, the table and the figure that were named; warn where the run cannot take it."""
    from degen.errors import RunFolderError

    if run is not None:
        from degen.ngram.result import write_result

        try:
            write_result(result, run)
        except RunFolderError as error:
            output.warn(f"{error.problem}; the result is not kept in the run")
    if out is not None:
        output.write_rows(result.table(), "ngram", out)
    if plot is not None:
        from degen.figures.w_error_curves import draw_ngrams

        output.write_figure(draw_ngrams(result.rows()), plot)
