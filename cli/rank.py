"""`degen rank`: loss against the rank of the LM head."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from . import options, output, scan

if TYPE_CHECKING:
    from degen.runs.run import Run


def rank(
    series: options.SeriesArgument = None,
    ranks: options.Ranks = None,
    method: options.Method = "whitened",
    within: options.Within = 0.05,
    init: options.Init = "normal",
    train_tokens: options.TrainTokens = None,
    train_windows: options.TrainWindows = 256,
    cache: options.Cache = 0,
    gradient: options.Gradient = False,
    plot: options.Plot = None,
    corpus: options.CorpusOption = "demo",
    tokens: options.Tokens = 50_000,
    context: options.Context = 512,
    seed: options.Seed = 0,
    sample: options.SampleOption = None,
    tokenizer: options.TokenizerOption = None,
    steps: options.Steps = "all",
    revision_pattern: options.RevisionPattern = None,
    tokens_per_step: options.TokensPerStep = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    batch_size: options.BatchSize = "auto",
    threads: options.Threads = None,
    out: options.Out = Path("degen-run"),
    fresh: options.Fresh = False,
    keep: options.Keep = "none",
    trust_remote_code: options.TrustRemoteCode = False,
    json: options.Json = False,
) -> None:
    """Measure the loss of the LM head at restricted rank, W = AB, for every checkpoint of a series.

    Half of the tokens, by document, gather what the closed forms need, or train; the other half evaluates. The result
    is a run like that of `degen scan`, with table `ranks`.
    """
    if plot is not None:
        from degen.drawing import check_plot

        check_plot(plot)
    training = {"tokens": train_tokens, "windows": train_windows, "init": init, "cache": cache, "seed": seed}
    chosen: dict[str, Any] = {
        "ranks": _numbers(ranks) if ranks is not None else None,
        "methods": [name.strip() for name in method.split(",")],
        "within": within,
        "training": training,
        "gradient": gradient,
    }
    settings = scan.settings(
        series, corpus, tokens, context, seed, sample, tokenizer, steps, "loss,rank", revision_pattern,
        tokens_per_step, device, dtype, batch_size, threads, trust_remote_code, {"rank": chosen},
    )  # fmt: skip
    run = scan.run_scan(settings, out, fresh, keep)
    _print(run, json)
    if plot is not None:
        from degen.runs.rank_plots import plot_ranks

        plot_ranks(run, plot)
    if run.failed:
        raise typer.Exit(4)


def _numbers(said: str) -> list[int]:
    from degen.errors import DegenError

    parts = [part.strip() for part in said.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise DegenError(f"--ranks {said}: whole numbers of at least 1, as in 64,256")
    return [int(part) for part in parts]


def _print(run: Run, json: bool) -> None:
    from degen.cli.show import print_checkpoints

    rows = run.table("ranks").to_pylist() if "ranks" in run.tables else []
    if json:
        output.result_json({"run": str(run.path), "rows": rows, "checkpoints": run.checkpoints()})
        return
    columns = ["model", "revision", "method", "rank", "loss", "loss_gap", "loss_gap_se", "perplexity", "w_error"]
    if rows:
        output.result_table(columns, [[row[name] for name in columns] for row in rows])
    print_checkpoints(run)
