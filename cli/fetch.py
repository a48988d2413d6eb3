"""`degen fetch`: bring a series of the hub to this machine for scans without network."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from . import options, output
from .option_groups import Without, expand_groups
from .scan import ProbeOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from degen.scanning.fetch import FetchItem


NOT_OF_FETCH = ("out", "track", "fresh", "keep", "shard", "engine", "ray_address", "workers")


@expand_groups
def fetch(
    *,
    series: options.SeriesRequired,
    scan_options: Annotated[options.ScanOptions, Without(*NOT_OF_FETCH)],
    probe_options: ProbeOptions,
    trust_remote_code: options.TrustRemoteCode = False,
    stagger: Annotated[
        float,
        typer.Option(
            min=0, help="Wait a random time first, of so many seconds at most, where many machines begin at once."
        ),
    ] = 0.0,
    dry_run: options.DryRun = False,
    json: options.Json = False,
) -> None:
    """Fetch what a scan reads from the hub into its cache, for scans without network.

    Takes the options of `degen scan`: with the same ones, HF_HUB_OFFLINE=1 degen scan then finds weights (of the heads
    alone where no probe needs more), configurations, tokenizers and the names of all revisions in the cache. What is in
    it already is not fetched again. Exit code 4: some checkpoints could not be fetched.
    """
    settings = scan_options.settings(series, trust_remote_code=trust_remote_code)
    settings = replace(settings, options=probe_options.options_by_probe())
    from degen.cli.progress import ConsoleProgress

    from degen.scanning.fetch import FAILED, plan_fetch
    from degen.scanning.fetch import fetch as fetch_items

    with ConsoleProgress() as progress:
        if stagger:
            progress.start_phase("waiting for others to begin")
            time.sleep(random.uniform(0, stagger))
        items = plan_fetch(settings, progress)
        progress.note(_plan_line(items))
        if settings.corpus.startswith("hf://"):
            progress.warn(f"{settings.corpus}: text is not fetched; scan with --sample of a run made with network")
        if not dry_run:
            items = fetch_items(items, progress)
    if json:
        output.result_json({"rows": [item.row() for item in items]})
    else:
        _print(items)
    if any(item.status == FAILED for item in items):
        raise typer.Exit(4)


def _plan_line(items: Sequence[FetchItem]) -> str:
    """Return how much is to be fetched, and how much room there is."""
    from degen.scanning.fetch import cache_folder, free_space

    size = sum(item.bytes for item in items)
    return f"{size / 1e9:,.3g} GB to fetch into {cache_folder()}, where {free_space() / 1e9:,.3g} GB are free"


def _print(items: Sequence[FetchItem]) -> None:
    """Print how many checkpoints of each series are there now, and which could not be fetched."""
    from degen.scanning.fetch import FAILED

    models: dict[str, list[FetchItem]] = {}
    for item in items:
        models.setdefault(item.checkpoint.model, []).append(item)
    for model, of_model in models.items():
        counts = Counter(item.status for item in of_model)
        size = sum(item.bytes for item in of_model)
        shown = ", ".join(f"{number} {status}" for status, number in counts.items())
        output.result(f"{model}: {output.count(len(of_model), 'checkpoint')}, {shown}; {size / 1e9:,.3g} GB")
    for item in items:
        if item.status == FAILED:
            output.result_line("failed", f"{item.checkpoint}: {item.reason}")
