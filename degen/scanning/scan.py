"""The scan: series of checkpoints and a corpus go in, a run folder of tables comes out.

What calls what, from a batch of text to a row of a table:

1. `scan_with_settings` finds series and probes (`plan`), opens the run folder, draws the windows (`sampling`), and runs
   a `SeriesScan` for each series.
2. `SeriesScan` fetches one checkpoint after another, recognises copies (`duplicates`), opens the others
   (`open_checkpoint`), has them measured, and writes their parts.
3. `measure.measure` gives the stored head to the head probes (`measure_head`), and loads the model for stream probes.
4. `measure_stream` sends the windows through the model in one pass (`degen.forward.run_pass`), which feeds states and
   losses to every probe, batch by batch; then each probe returns its rows, and `Tables.merge` joins them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Unpack

from degen.checkpoints.downloads import Downloads, own_downloads
from degen.checkpoints.prefetch import Fetcher
from degen.device import count_cards
from degen.errors import DegenError
from degen.runs.run import DOWNLOADS, Run, read_run
from degen.runs.run_file import PLANNED
from degen.runs.run_writer import RunWriter, open_run
from degen.runs.stored_run import StoredRun, working_copy
from degen.stores.urls import url_of

from .context import check_context, fit_context
from .engine import LOCAL, RAY, Engine
from .extend import adds_only, continue_settings, fill_tokens, probes_to_measure
from .notebook_progress import usual_progress
from .plan import Plan, make_plan
from .progress import Progress
from .run_info import complete_info
from .sampling import Samples, prepare_samples
from .series_scan import Pending, SeriesScan
from .settings import RUN_FOLDER, ScanKeywords, Settings, list_settings, make_settings
from .shards import Shard, parse_shard, stagger
from .target_error import KEY, check_targets, fit_windows


@list_settings(ScanKeywords)
def scan(
    series: str | Path | Sequence[str | Path] | None = None,
    *,
    out: str | Path = RUN_FOLDER,
    fresh: bool = False,
    progress: Progress | None = None,
    keep: str = "none",
    shard: str | None = None,
    engine: str = LOCAL,
    ray_address: str | None = None,
    workers: int | None = None,
    **settings: Unpack[ScanKeywords],
) -> Run:
    """Measure every checkpoint of the series, in order, into a run folder.

    Args:
        series: one or several of: a checkpoint folder, a folder of checkpoints, a file (`.gguf`, `.ckpt`, `.pt`),
            `base+adapter`, a suite such as `pythia:70m`, revisions of the hub such as `org/name@step*`; each perhaps
            with `label=` in front. None: the bundled demo.
        out: the run folder, or its URL as s3://bucket/run. A run that stopped goes on where it was.
        fresh: start over in a folder that holds a run.
        progress: gets notes, warnings and how far the scan is; by default they go to the log `degen`, and how far the
            scan is to a bar in a notebook.
        keep: `all` leaves weights of the hub in its cache; `none` deletes what the scan downloaded.
        shard: one part of the checkpoints, as `3/16`, for processes that measure one run together.
        engine: `local`, this process; or `ray`, workers on this machine or a cluster.
        ray_address: of a cluster of Ray, as `auto`; None: workers on this machine, while the scan lasts.
        workers: how many checkpoints Ray measures at once; None: one for each card, or as a cluster has room.
        settings: the other fields of `Settings`, by name.

    Returns:
        The run, for reading. Checkpoints that could not be measured are in `Run.failed`, each with its reason.

    Raises:
        DegenError: wrong settings, nothing to scan, or a run folder that cannot be used.

    Source: Godey, de la Clergerie and Sagot 2024 (arXiv 2404.07647).
    """
    chosen = make_settings(series, **settings)
    return scan_with_settings(
        chosen, out=Path(out), fresh=fresh, progress=progress or usual_progress(), keep=keep, shard=shard,
        engine=engine, ray_address=ray_address, workers=workers,
    )  # fmt: skip


def scan_with_settings(
    settings: Settings,
    *,
    out: Path,
    fresh: bool,
    progress: Progress,
    keep: str,
    shard: str | None = None,
    engine: str = LOCAL,
    ray_address: str | None = None,
    workers: int | None = None,
    on_plan: Callable[[Plan], None] = lambda _: None,
) -> Run:
    """Do what `scan` does, with settings that are made already; `on_plan` gets the plan before anything is measured."""
    part = parse_shard(shard) if shard is not None else None
    runner = Engine(engine, ray_address, workers)
    runner.check_device(settings.device)
    if part is not None and fresh:
        raise DegenError("--fresh: shards share their folder, and one would delete what others have; name a new --out")
    url = url_of(out)
    if url is None:
        _scan(settings, out, fresh, progress, keep, part, runner, on_plan)
        return read_run(out)
    progress.start_phase(f"looking what there is at {url}")
    with working_copy(url, shared=part is not None) as store:
        _scan(settings, store.folder, fresh, progress, keep, part, runner, on_plan, store)
    return read_run(url)


def _scan(
    settings: Settings,
    out: Path,
    fresh: bool,
    progress: Progress,
    keep: str,
    part: Shard | None,
    engine: Engine,
    on_plan: Callable[[Plan], None],
    store: StoredRun | None = None,
) -> None:
    """Scan into a run folder, which may be the copy of one at a URL."""
    if part is not None:
        stagger(part, settings.series)
    begun = None if fresh else out
    settings = continue_settings(settings, begun)
    progress.start_phase("finding checkpoints")
    plan = make_plan(settings, progress.note)
    check_targets(settings, plan.tables)
    if part is not None:
        progress.start_phase("telling shards apart")
        plan.shard = part.members(plan.checkpoints, settings.trust_remote_code)
    on_plan(plan)
    settings = fit_context(settings, plan, begun, progress.note)
    while not _scan_into(out, settings, fresh, plan, keep, engine, progress, store):
        if store is not None:
            store.pull()  # another process has made the run: go on with what it has made


def _scan_into(
    out: Path,
    settings: Settings,
    fresh: bool,
    plan: Plan,
    keep: str,
    engine: Engine,
    progress: Progress,
    store: StoredRun | None,
) -> bool:
    """Measure into a run folder; return whether that was done, and no other process made the run meanwhile."""
    shared = plan.shard is not None
    own = plan.own_checkpoints
    with open_run(out, settings.to_json(), fresh, adds_only, shared, store) as writer:
        pending = probes_to_measure(plan, writer)
        writer.info[PLANNED] = plan.revisions
        progress.start_scan(own, len(own) - len(pending))
        if pending or "config_hash" not in writer.info:
            folder = out / DOWNLOADS
            with own_downloads(folder, keep) if shared else nullcontext(Downloads(folder, keep)) as downloads:
                if not _measure(settings, plan, pending, writer, downloads, engine, progress):
                    return False
        writer.save_info()
        if filled := sum(fill_tokens(checkpoint, writer) for checkpoint in own):
            progress.note(f"tokens_seen filled in for {filled} checkpoints")
        writer.publish()
    return True


def _measure(
    settings: Settings,
    plan: Plan,
    pending: Pending,
    writer: RunWriter,
    downloads: Downloads,
    engine: Engine,
    progress: Progress,
) -> bool:
    """Draw the windows, then measure checkpoint after checkpoint.

    Returns:
        Whether that was done; else another process has made the run since this one opened its folder.
    """
    progress.start_phase("loading torch and transformers")
    import torch

    from degen.model.loading import choose_device, choose_dtype, silence_transformers

    silence_transformers()
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    progress.start_phase("tokenising text")
    samples = prepare_samples(settings, plan, writer, progress)
    check_context(plan, samples, progress, settings.trust_remote_code)
    threads = settings.threads or writer.info.get("threads")  # as asked for, or as when the run began
    threads = threads or engine.default_threads(count_cards(device))
    if threads is not None:
        torch.set_num_threads(threads)
    if settings.target_se and KEY not in (writer.info.get("sample") or {}):
        samples = fit_windows(settings, plan, samples, downloads, (device, dtype), progress)
    complete_info(writer, [s.model for s in plan.series], plan.probes, plan.tables, samples, device, dtype)
    writer.start()  # from here on the folder changes
    if writer.shared and writer.is_new and not writer.create_info():
        return False
    samples.save(writer)
    writer.save_info()
    if engine.name == RAY:
        from .ray_engine import measure_on_ray
        from .ray_worker import RayJob

        job = RayJob(settings, plan, writer.path.resolve(), writer.info, downloads.keep, pending)
        measure_on_ray(engine, job, writer, device, progress)
    else:
        _measure_here(settings, plan, pending, writer, samples, downloads, progress)
    return True


def _measure_here(
    settings: Settings,
    plan: Plan,
    pending: Pending,
    writer: RunWriter,
    samples: Samples,
    downloads: Downloads,
    progress: Progress,
) -> None:
    """Measure checkpoint after checkpoint in this process."""
    scans = {
        s.model: SeriesScan(s, settings, plan, samples, writer, progress)
        for s in plan.series if not pending.keys().isdisjoint(s.checkpoints)
    }  # fmt: skip
    requests = [request for series_scan in scans.values() for request in series_scan.fetch_requests(pending)]
    with Fetcher(downloads, requests, lambda c: scans[c.model].is_copy(c)) as fetcher:
        for series_scan in scans.values():
            series_scan.run(pending, fetcher)
    if kept := [reason for series_scan in scans.values() for reason in series_scan.not_added]:
        raise DegenError(
            f"{writer.path}: of {len(kept)} checkpoint{'s' * (len(kept) > 1)} the added probes could not be measured: "
            f"{kept[0]}; what was measured before is kept, and the same command tries again",
            exit_code=4,
        )
