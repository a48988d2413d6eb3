"""`degen rank`: loss against the rank of the LM head."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options, output, parsing, scan
from .option_groups import OptionGroup, Without, expand_groups

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from degen.runs.run import Run
    from degen.scanning.plan import Plan
    from degen.tables import Row


class RankOptions(OptionGroup):
    """The ranks and methods to measure, and the training of the trained head."""

    panel = "Ranks"

    ranks: Annotated[
        str | None,
        typer.Option(
            help="Ranks to measure, as in 64,256.", show_default="powers of two up to the width, and the width"
        ),
    ] = None
    method: Annotated[
        str,
        typer.Option(
            help="Comma list of svd (truncate W), whitened (the best head for the states it sees) and trained."
        ),
    ] = "whitened"
    within: Annotated[
        float, typer.Option(help="Nats per token of the full head within which a rank is no bottleneck.")
    ] = 0.05
    init: Annotated[str, typer.Option(help="Where trained starts: whitened, or normal, A and B from N(0, 1).")] = (
        "whitened"
    )
    train_tokens: Annotated[
        int | None,
        typer.Option(
            help="Tokens to train on.",
            show_default="150 million on an accelerator, 300,000 on a CPU, fewer there for a large model",
        ),
    ] = None
    train_windows: Annotated[
        int | None,
        typer.Option(
            help="Windows of a batch, that is of one step of Adam.",
            show_default="for 400 steps, of 64 tokens to 256 windows",
        ),
    ] = None
    cache: Annotated[
        int,
        typer.Option(help="Train on the states of this many tokens again and again, kept in a file; 0: on new states."),
    ] = 0
    gradient: Annotated[
        bool,
        typer.Option("--gradient", help="Also measure the share of the logit gradient that the head cannot pass back."),
    ] = False

    def probe_options(self, seed: int) -> dict[str, Any]:
        """Return the options of the probe `rank`.

        Args:
            seed: of the training.

        Raises:
            DegenError: the ranks cannot be parsed.
        """
        return {
            "ranks": _parse_ranks(self.ranks) if self.ranks is not None else None,
            "methods": [name.strip() for name in self.method.split(",")],
            "within": self.within,
            "training": {
                "tokens": self.train_tokens,
                "windows": self.train_windows,
                "init": self.init,
                "cache": self.cache,
                "seed": seed,
            },
            "gradient": self.gradient,
        }


class RankScanOptions(options.ScanOptions):
    """The options of a scan, into a run folder of its own."""

    out: Annotated[Path, options.OUT] = Path("degen-rank")


@expand_groups
def rank(
    *,
    series: options.SeriesArgument = None,
    rank_options: RankOptions,
    plot: Annotated[
        Path | None, typer.Option(help="Draw loss against rank into this file (.png, .pdf, .svg).", show_default=False)
    ] = None,
    scan_options: Annotated[RankScanOptions, Without("probes")],
    trust_remote_code: options.TrustRemoteCode = False,
    json: options.Json = False,
) -> None:
    """Measure the loss of the LM head at restricted rank, W = AB, for every checkpoint of a series.

    Half of the documents are used for fitting or training the restricted heads, the other half for evaluating them. The
    result is a run like that of `degen scan`, with table `ranks`.
    """
    if plot is not None:
        from degen.figures.export import check_figure
        from degen.runs.output_files import check_output

        check_figure(plot)
        check_output(plot, [*(series or ()), scan_options.out], "--plot")
    probe_options = rank_options.probe_options(scan_options.seed)
    settings = scan_options.settings(series, trust_remote_code=trust_remote_code)
    settings = replace(settings, probes=("loss", "rank"), options={"rank": probe_options})
    plans: list[Plan] = []
    run = scan.run_scan(settings, scan_options, plans.append)
    _print(run, json, rank_options.within)
    if plot is not None:
        from degen.figures.rank_curves import draw_ranks

        output.write_figure(draw_ranks(run.table("ranks").to_pylist() if "ranks" in run.tables else []), plot)
    if scan.any_failed(run, plans[0]):
        raise typer.Exit(4)


def _parse_ranks(text: str) -> list[int]:
    from degen.errors import DegenError

    ranks = [parsing.whole_number(part.strip()) for part in text.split(",")]
    if not all(ranks):
        raise DegenError(f"--ranks {text}: must be whole numbers of at least 1, as in 64,256")
    return [rank for rank in ranks if rank]


def _print(run: Run, json: bool, within: float) -> None:
    from degen.cli.show import print_checkpoints
    from degen.cli.show_summary import missing_entry, print_missing

    rows = run.table("ranks").to_pylist() if "ranks" in run.tables else []
    if json:
        checkpoints = run.checkpoints() if run.tables else []
        document = {"run": run.name, "rows": rows, "checkpoints": checkpoints}
        output.result_json(document | missing_entry(run))
        return
    print_missing(run)
    if not run.tables:
        return
    columns = ["model", "revision", "method", "rank", "loss", "loss_gap", "loss_gap_se", "perplexity", "w_error"]
    if any(row["reason"] for row in rows):
        columns.append("reason")
    if rows:
        output.result_table(columns, [[row[name] for name in columns] for row in rows])
        _print_methods(rows)
    print_checkpoints(run)
    for name, reason in _missing(run.checkpoints(), rows, within):
        output.result(f"{name} has no bottleneck rank: {reason}")


def _print_methods(rows: Sequence[Row]) -> None:
    """Print the bottleneck rank of every checkpoint and method with its interval, and which are upper bounds."""
    columns = ["model", "revision", "method", "bottleneck_rank", "bottleneck_rank_low", "bottleneck_rank_high"]
    output.result_table(columns, [[of[0][name] for name in columns] for of in _by_method(rows)])
    for of_method in _by_method(rows):
        rank, least = of_method[0]["bottleneck_rank"], min(row["rank"] for row in of_method)
        if rank == least > 1:
            name = f"{of_method[0]['model']}@{of_method[0]['revision']}"
            output.result(
                f"{name}: by {of_method[0]['method']} the bottleneck rank is at most {rank}, the lowest measured; "
                "measure lower ones with --ranks"
            )


def _by_method(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the rows of table `ranks` of each checkpoint and method."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["model"], row["revision"], row["method"]), []).append(row)
    return list(groups.values())


def _missing(checkpoints: Sequence[Row], ranks: Sequence[Row], within: float) -> Iterator[tuple[str, str]]:
    """Yield every measured checkpoint without a bottleneck rank, and why it has none.

    The curve that comes nearest to the full head tells, and what its head would still have to learn.
    """
    from degen.rank.bottleneck_rank import why_no_bottleneck_rank

    for checkpoint in checkpoints:
        own = [r for r in ranks if (r["model"], r["revision"]) == (checkpoint["model"], checkpoint["revision"])]
        if checkpoint["bottleneck_rank"] is None and checkpoint["status"] != "failed" and own:
            nearest = min(own, key=lambda row: (not math.isfinite(row["loss_gap"]), row["loss_gap"]))
            curve = [row for row in own if row["method"] == nearest["method"]]
            gaps = [row["loss_gap"] for row in curve]
            reason = nearest["reason"] or why_no_bottleneck_rank(
                [row["rank"] for row in curve], gaps, within, checkpoint["head_size"]
            )
            yield f"{checkpoint['model']}@{checkpoint['revision']}", reason
