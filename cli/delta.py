"""`degen delta`: how many dimensions the update of an adapter or a fine-tune uses, and where it lies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options, output
from .delta_tables import print_deltas

if TYPE_CHECKING:
    from degen.delta import DeltaResult

Adapters = Annotated[
    list[str],
    typer.Argument(
        metavar="ADAPTER...",
        help="A folder of a PEFT adapter, a folder of such folders, BASE+ADAPTER, a fine-tuned checkpoint (with "
        "--base) or a series of checkpoints; on this machine or on the hub, perhaps with label= in front.",
        show_default=False,
    ),
]
Spectra = Annotated[
    Path | None,
    typer.Option(
        "--spectra", help="Write all singular values into this file, of the same formats.", show_default=False
    ),
]


def delta(
    adapters: Adapters,
    base: Annotated[
        str | None,
        typer.Option(
            help="The checkpoint that all began from.",
            show_default="the one that an adapter names; the first of a series",
        ),
    ] = None,
    no_base: Annotated[
        bool,
        typer.Option("--no-base", help="Read no weights of the base: spectra of adapters alone, which takes seconds."),
    ] = False,
    steps: options.Steps = "all",
    modules: Annotated[
        bool, typer.Option("--modules", help="Print every module, not the medians over the layers.")
    ] = False,
    out_file: options.ResultFile = None,
    spectra: Spectra = None,
    json: options.Json = False,
) -> None:
    """Measure how many dimensions an update uses, and where it lies.

    For every module that was trained: parameters, rank given and used (numerical, effective, stable, k90), size beside
    W, overlap with W's leading directions, amplification and intruder dimensions. Of a series also the dimension of its
    trajectory; of several adapters the overlap of their subspaces and the spectrum of their sum; of all what training
    them takes beside the whole model.
    """
    from degen.errors import DegenError

    if base is not None and no_base:
        raise DegenError("--base names a base and --no-base wants none; give one of them")
    for file, option in ((out_file, "--out"), (spectra, "--spectra")):
        _check_file(file, option, adapters)
    output.first_word("reading adapters")
    from degen.cli.progress import amount_bar

    from degen.delta import measure_deltas

    with amount_bar() as on_amount:

        def show(name: str, done: int, count: int) -> None:
            on_amount(f"{name}, after {done} of {count}", 0, 0)

        result = measure_deltas(adapters, base, not no_base, steps, output.warn, show)
    if json:
        output.result_json(_document(result))
    else:
        print_deltas(result, every_module=modules)
    _keep(result, out_file, spectra)
    if result.failed:
        for name, reason in result.failed.items():
            output.warn(f"{name}: {reason}")
        raise DegenError(f"{len(result.failed)} of {len(result.failed) + len(result.measured)} could not be read", 4)


def _check_file(file: Path | None, option: str, sources: list[str]) -> None:
    """Refuse a file that cannot be written before anything is read."""
    if file is not None:
        from degen.runs.export import check_ending
        from degen.runs.output_files import check_output

        check_ending(file)
        check_output(file, sources, option)


def _document(result: DeltaResult) -> dict[str, object]:
    """Return the JSON document of a result."""
    together = result.composition
    return {
        "rows": result.rows(),
        "costs": [row for one in result.measured for row in one.costs()],
        "trajectories": [
            {"model": model, "participation_ratio": t.participation_ratio, "d90": t.d90, "points": t.points,
             "lengths": t.lengths.tolist()}
            for model, t in result.trajectories.items()
        ],
        "overlaps": together.overlaps if together is not None else [],
        "sums": together.sums if together is not None else [],
        "failed": result.failed,
    }  # fmt: skip


def _keep(result: DeltaResult, out: Path | None, spectra: Path | None) -> None:
    """Write the tables into the files that were named."""
    from degen.delta.columns import DELTA, DELTA_SPECTRUM

    if out is not None:
        output.write_rows(result.table(), DELTA, out)
    if spectra is not None:
        output.write_rows(result.spectra(), DELTA_SPECTRUM, spectra)
