"""`degen scan`: measure every checkpoint of the series."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options, output, parsing
from .option_groups import OptionGroup, expand_groups
from .option_panels import PASS

if TYPE_CHECKING:
    from degen.cli.progress import ConsoleProgress

    from degen.runs.run import Run
    from degen.scanning.plan import Plan
    from degen.scanning.settings import Settings
    from degen.trackers.destination import Destination


class ProbeOptions(OptionGroup):
    """Options of single probes."""

    probe_option: Annotated[
        list[str] | None,
        typer.Option(
            help="An option of a probe, as two_nn.positions=4000 or fragility.shares=0.01,0.1; again for more. `degen "
            "probes NAME` names them.",
            show_default=False,
            rich_help_panel=PASS,
        ),
    ] = None
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Of the probe unargmaxable: prove by linear programs which tokens can never be the most likely one.",
            rich_help_panel=PASS,
        ),
    ] = False

    def options_by_probe(self) -> dict[str, dict[str, Any]]:
        """Return the options of each probe, by name.

        Raises:
            DegenError: a text is no probe, option and value.
        """
        found = parsing.parse_probe_options("--probe-option", self.probe_option)
        if self.exact:
            found.setdefault("unargmaxable", {})["exact"] = True
        return found


@expand_groups
def scan(
    *,
    series: options.SeriesArgument = None,
    scan_options: options.ScanOptions,
    probe_options: ProbeOptions,
    trust_remote_code: options.TrustRemoteCode = False,
    dry_run: options.DryRun = False,
    planned_for: options.PlannedFor = None,
    json: options.Json = False,
) -> None:
    """Measure every checkpoint of a series into a run folder.

    Without a series, those of degen.toml are scanned, else the bundled demo. A scan that was stopped resumes when the
    command is repeated. Exit code 4: some checkpoints failed; each has a row with the reason, and the others are
    measured.
    """
    settings = scan_options.settings(series, trust_remote_code=trust_remote_code)
    settings = replace(settings, options=probe_options.options_by_probe())
    if planned_for is not None and not dry_run:
        raise typer.BadParameter("--for plans a scan and starts none; add --dry-run")
    if dry_run:
        print_costs(settings, scan_options, json, planned_for)
        return
    plans: list[Plan] = []
    run = run_scan(settings, scan_options, plans.append)
    _print_run(run, json)
    if any_failed(run, plans[0]):
        raise typer.Exit(4)


def run_scan(
    settings: Settings, scan_options: options.ScanOptions, check_plan: Callable[[Plan], None] | None = None
) -> Run:
    """Scan with progress on stderr, and return the run.

    Args:
        settings: of the scan.
        scan_options: the options of the run folder.
        check_plan: called with the plan before anything is measured.
    """
    from degen.stores.urls import url_of
    from degen.trackers.destination import parse_destination

    destinations = [parse_destination("--track", text) for text in scan_options.track or ()]
    for destination in destinations:
        destination.check()
    output.first_word(f"scanning into {url_of(scan_options.out) or scan_options.out}")
    os.environ.setdefault("TQDM_DISABLE", "1")  # libraries would draw bars beside ours
    from degen.cli.progress import ConsoleProgress

    from degen.scanning.scan import scan_with_settings

    with ConsoleProgress() as progress:
        run = scan_with_settings(
            settings, out=scan_options.out, fresh=scan_options.fresh, progress=progress, keep=scan_options.keep,
            shard=scan_options.shard, engine=scan_options.engine, ray_address=scan_options.ray_address,
            workers=scan_options.workers, on_plan=check_plan or (lambda _: None),
        )  # fmt: skip
        if destinations and run.missing:
            progress.note("not sent to a tracker yet, as checkpoints are missing: the last shard sends the run")
            return run
        for destination in destinations:
            progress.start_phase(f"sending the run to {destination.tracker}")
            _send(destination, run, progress)
    return run


def any_failed(run: Run, plan: Plan) -> bool:
    """Return whether a checkpoint failed that this process was to measure; it may have been none."""
    own = {(c.model, c.revision) for c in plan.own_checkpoints}
    return bool(run.tables) and any((row["model"], row["revision"]) in own for row in run.failed)


def _send(destination: Destination, run: Run, progress: ConsoleProgress) -> None:
    """Send a run to a tracker; a tracker that fails is a warning, for the run is kept."""
    from degen.errors import DegenError

    try:
        destination.send(run, progress.note)
    except DegenError as error:
        progress.warn(f"{error}; the run is kept in {run.name}, and degen export {run.name} --to … tries again")


def _print_run(run: Run, json: bool) -> None:
    from degen.cli.show import print_checkpoints
    from degen.cli.show_summary import missing_entry, print_missing

    if json:
        rows = run.checkpoints() if run.tables else []
        output.result_json({"run": run.name, "rows": rows} | missing_entry(run))
        return
    if run.tables:
        print_checkpoints(run)
    print_missing(run)


def print_costs(
    settings: Settings, scan_options: options.ScanOptions, json: bool, planned_for: str | None = None
) -> None:
    """Print the checkpoints that a scan would measure and what they cost.

    Raises:
        typer.Exit: with code 4, where a checkpoint cannot be measured.
    """
    from degen.cli.scan_plan import print_plan

    from degen.planning.devices import parse_devices
    from degen.scanning.dry_run import estimate_costs
    from degen.scanning.engine import Engine
    from degen.scanning.shards import parse_shard

    engine = Engine(scan_options.engine, scan_options.ray_address, scan_options.workers)
    engine.check_device(settings.device)  # refuses what the scan would, as the line before does
    part = parse_shard(scan_options.shard) if scan_options.shard is not None else None
    devices = parse_devices(planned_for) if planned_for is not None else None
    costs = estimate_costs(settings, output.note, scan_options.out, scan_options.fresh, devices, part)
    if devices is not None:
        print_plan(costs, devices, json)
    elif json:
        output.result_json({"rows": costs})
    else:
        _print_cost_table(costs)
    if any(row["reason"] for row in costs):
        raise typer.Exit(4)


def _print_cost_table(costs: list[dict[str, Any]]) -> None:
    from degen.scanning.dry_run import total_cost

    columns = list(costs[0]) if costs else []
    rows = [[_format_cost(name, row[name]) for name in columns] for row in costs]
    output.result_table(columns, rows)
    size, flops = total_cost(costs)
    there = sum(row["bytes"] == 0 for row in costs)
    known = f" ({there} measured already)" if there else ""
    output.result(f"{len(costs)} checkpoints{known}, {size / 1e9:.3g} GB to read, {flops:.2g} FLOPs")


def _format_cost(name: str, value: Any) -> Any:
    return f"{value / 1e6:,.1f} MB" if name in ("bytes", "memory", "kept") and value is not None else value
