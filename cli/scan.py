"""`degen scan`: measure every checkpoint of the series."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from . import options, output

if TYPE_CHECKING:
    from degen.runs.run import Run
    from degen.scanning.plan import Plan
    from degen.scanning.settings import Settings


def scan(
    series: options.SeriesArgument = None,
    corpus: options.CorpusOption = "demo",
    tokens: options.Tokens = 50_000,
    context: options.Context = 512,
    seed: options.Seed = 0,
    sample: options.SampleOption = None,
    tokenizer: options.TokenizerOption = None,
    steps: options.Steps = "all",
    probes: options.Probes = None,
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
    dry_run: options.DryRun = False,
    json: options.Json = False,
) -> None:
    """Measure every checkpoint of a series into a run folder.

    Bare `degen scan` scans the bundled demo. A run asked for again goes on where it stopped. Exit code 4 says that some
    checkpoints failed; each is a row with its reason, and the others are measured.
    """
    chosen = settings(
        series, corpus, tokens, context, seed, sample, tokenizer, steps, probes, revision_pattern, tokens_per_step,
        device, dtype, batch_size, threads, trust_remote_code,
    )  # fmt: skip
    if dry_run:
        print_plan(chosen, json)
        return
    run = run_scan(chosen, out, fresh, keep)
    _print_run(run, json)
    if run.failed:
        raise typer.Exit(4)


def settings(
    series: list[str] | None,
    corpus: str,
    tokens: int,
    context: int,
    seed: int,
    sample: Path | None,
    tokenizer: str | None,
    steps: str,
    probes: str | None,
    revision_pattern: str | None,
    tokens_per_step: int | None,
    device: str,
    dtype: str,
    batch_size: str,
    threads: int | None,
    trust_remote_code: bool,
    probe_options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """What the options that scanning commands share come to."""
    from degen.errors import DegenError
    from degen.scanning.settings import Settings

    if batch_size != "auto" and not batch_size.isdecimal():
        raise DegenError(f"--batch-size {batch_size}: a number of windows, or auto")
    if trust_remote_code:
        output.warn("--trust-remote-code: Python code of these checkpoints runs here, with all you may do yourself")
    return Settings(
        series=tuple(series or ()),
        steps=steps,
        corpus=corpus,
        tokens=tokens,
        context=context,
        seed=seed,
        sample=str(sample) if sample else None,
        tokenizer=tokenizer,
        device=device,
        dtype=dtype,
        batch_size=None if batch_size == "auto" else int(batch_size),
        threads=threads,
        probes=tuple(name.strip() for name in probes.split(",")) if probes is not None else None,
        options=probe_options or {},
        revision_pattern=revision_pattern,
        tokens_per_step=tokens_per_step,
        trust_remote_code=trust_remote_code,
    )


def run_scan(settings: Settings, out: Path, fresh: bool, keep: str, look: Callable[[Plan], None] | None = None) -> Run:
    """Scan with a bar, or with lines where nobody looks at a terminal.

    Args:
        settings: what is asked for.
        out: the run folder.
        fresh: start over.
        keep: of downloads.
        look: shown the plan before anything is measured.
    """
    os.environ.setdefault("TQDM_DISABLE", "1")  # libraries draw bars of their own; ours is enough
    from degen.cli.progress import Lines

    from degen.scanning.scan import Scan

    with Lines() as progress:
        return Scan(settings, out, fresh, progress, keep).run(look)


def _print_run(run: Run, json: bool) -> None:
    from degen.cli.show import print_checkpoints

    if json:
        output.result_json({"run": str(run.path), "rows": run.checkpoints()})
    else:
        print_checkpoints(run)


def print_plan(settings: Settings, json: bool) -> None:
    """What a scan would do and cost."""
    from degen.scanning.dry_run import price

    priced = price(settings)
    if json:
        output.result_json({"rows": priced})
    else:
        _print_prices(priced)
    if any(row["reason"] for row in priced):
        raise typer.Exit(4)


def _print_prices(priced: list[dict[str, Any]]) -> None:
    columns = list(priced[0]) if priced else []
    rows = [[_readable(name, row[name]) for name in columns] for row in priced]
    output.result_table(columns, rows)
    total = {name: sum(row[name] or 0 for row in priced) for name in ("bytes", "flops")}
    output.result(f"{len(priced)} checkpoints, {total['bytes'] / 1e9:.3g} GB to read, {total['flops']:.2g} FLOPs")


def _readable(name: str, value: Any) -> Any:
    return f"{value / 1e6:,.1f} MB" if name in ("bytes", "memory") and value is not None else value
