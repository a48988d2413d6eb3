"""As many windows as standard errors need: a pilot on the last checkpoint fixes their number for all of them.

The error of a mean over documents falls with the root of their number. Of n windows, whose error is s, a target t takes
n·(s/t)²; s² is itself an estimate, and its upper 90 % limit by χ² stands in its place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from degen.checkpoints.downloads import Downloads
from degen.checkpoints.series import Checkpoint, Series
from degen.errors import DegenError, one_line
from degen.hints import did_you_mean
from degen.probe import StreamProbe
from degen.tables import CHECKPOINTS, Row, Rows, Tables
from degen.text.windows import Sample

from .plan import Plan
from .progress import Progress
from .sampling import Samples, first_windows
from .settings import Settings

if TYPE_CHECKING:
    import torch

    from .measure_spec import MeasureSpec

KEY = "target_se"  # of what run.json says of the sample
FEWEST_WINDOWS = 40  # of a pilot
PILOT_SHARE = 5  # of the windows, one in so many is in a pilot of more
SURE = 0.9  # how often an error that a pilot of normal figures estimates is no larger than the one taken


def check_targets(settings: Settings, tables: Tables) -> None:
    """Refuse targets of metrics that will have no standard error, and of windows that are given.

    Raises:
        DegenError: there are such.
    """
    if settings.target_se and settings.sample is not None:
        raise DegenError("--target-se: the windows of --sample are given, and cannot be fewer; drop one of the two")
    columns = {column.name for column in tables.columns(CHECKPOINTS)}
    known = sorted(name.removesuffix("_se") for name in columns if name.endswith("_se"))
    for metric in settings.target_se or {}:
        if metric not in known:
            raise DegenError(
                f"--target-se {metric}: no such metric has a standard error; {did_you_mean(metric, known)}"
            )


def windows_needed(measured: int, documents: int, errors: Mapping[str, float], targets: Mapping[str, float]) -> int:
    """Return how many windows the targets take.

    Formula: n·max(s²·(m − 1)/χ²/t²), χ² the lower 10 % quantile of χ² with m − 1 degrees of freedom.

    Args:
        measured: n, the windows of a pilot.
        documents: m, those that they come from; at least 2.
        errors: s, the standard error of each metric in the pilot.
        targets: t, those that are wanted.
    """
    from scipy.stats import chi2

    freedom = documents - 1
    worst = max((errors[metric] / target) ** 2 for metric, target in targets.items())
    return math.ceil(measured * worst * freedom / float(chi2.ppf(1 - SURE, freedom)))


def above_targets(targets: Mapping[str, float] | None, row: Row) -> list[str]:
    """Return a phrase for each standard error of a checkpoint that is above its target."""
    phrases = []
    for metric, target in (targets or {}).items():
        error = row.get(f"{metric}_se")
        if error is not None and error > target:
            phrases.append(f"{metric}_se is {error:.2g}, above the target of {target:g}")
    return phrases


def fit_windows(
    settings: Settings,
    plan: Plan,
    samples: Samples,
    downloads: Downloads,
    on_device: tuple[torch.device, Any],
    progress: Progress,
) -> Samples:
    """Return the first of the windows, as many as the targets take at the last checkpoint of every series.

    Args:
        settings: with targets.
        plan: the series and probes.
        samples: all windows that `--tokens` allows.
        downloads: where files of the hub go.
        on_device: device and dtype of the pass.
        progress: gets the number, and what cannot be reached.
    """
    targets = settings.target_se or {}
    needed: list[int] = []
    pilots: dict[str, dict[str, float]] = {}
    for series in plan.series:
        sample = samples.sample_of(series)
        if sample is None:
            continue
        pilot = first_windows(sample, max(FEWEST_WINDOWS, len(sample.windows) // PILOT_SHARE))
        progress.start_phase(f"pilot of {len(pilot.windows)} windows on {series.model}")
        found = _measure_last(settings, plan, series, pilot, samples, downloads, on_device, progress)
        if found is None or pilot.documents < 2:
            progress.warn(f"{series.model}: no pilot could be measured for --target-se; all windows are taken")
            needed.append(len(sample.windows))
            continue
        checkpoint, errors = found
        pilots[str(checkpoint)] = errors
        needed.append(windows_needed(len(pilot.windows), pilot.documents, errors, targets))
        if needed[-1] > len(sample.windows):
            tokens = math.ceil(pilot.tokens / len(pilot.windows) * needed[-1])
            progress.note(f"{checkpoint}: --target-se takes about {tokens:,} tokens, more than --tokens allows")
    count = max([*needed, 2])
    fixed = {fingerprint: first_windows(sample, count) for fingerprint, sample in samples.samples.items()}
    progress.note(f"--target-se: {max((len(s.windows) for s in fixed.values()), default=0)} windows of each checkpoint")
    info = {KEY: {"targets": dict(targets), "pilot_errors": pilots, "windows": count}}
    return replace(samples, samples=fixed).with_info(info)


def _measure_last(
    settings: Settings,
    plan: Plan,
    series: Series,
    pilot: Sample,
    samples: Samples,
    downloads: Downloads,
    on_device: tuple[torch.device, Any],
    progress: Progress,
) -> tuple[Checkpoint, dict[str, float]] | None:
    """Return the last checkpoint of a series that can be measured, and its errors; None where none can."""
    from degen.placement.device_map import read_device_map

    from .measure_spec import MeasureSpec

    targets, tokenizer = settings.target_se or {}, samples.tokenizers[series.model]
    names = {f"{metric}_se" for metric in targets}
    probes = {
        name: probe for name, probe in plan.probes.items()
        if issubclass(probe, StreamProbe) and names & {c.name for c in probe.columns.get(CHECKPOINTS, ())}
    }  # fmt: skip
    spec = MeasureSpec(
        probes, plan.tables, pilot, tokenizer.ids if tokenizer is not None else None, *on_device,
        trust=settings.trust_remote_code, options=settings.options, skip_first=settings.skip_first,
        device_map=read_device_map(settings.device_map),
    )  # fmt: skip
    for checkpoint in reversed(series.checkpoints):
        try:
            row = _measure_pilot(checkpoint, spec, pilot, settings, downloads)
        except Exception as error:  # its own row will say so; an earlier one may do
            progress.note(f"{checkpoint}: no pilot on it ({one_line(error)})")
            continue
        finally:
            downloads.release(checkpoint.source.key)
        errors = {metric: row[f"{metric}_se"] for metric in targets if row.get(f"{metric}_se") is not None}
        if len(errors) == len(targets):
            return checkpoint, errors
    return None


def _measure_pilot(
    checkpoint: Checkpoint, spec: MeasureSpec, pilot: Sample, settings: Settings, downloads: Downloads
) -> Row:
    """Return the row of table `checkpoints` of a checkpoint, measured on the windows of a pilot."""
    from degen.forward.batch_size import batch_tokens_for
    from degen.forward.out_of_memory import halve_batch

    from .measure import measure
    from .memory import bytes_to_load
    from .open_checkpoint import open_checkpoint
    from .timing import Clock

    opened = open_checkpoint(checkpoint, checkpoint.source.fetch(downloads, whole=True), spec, Clock())
    windows, to_load = settings.batch_size, bytes_to_load(opened, spec, settings)
    first = batch_tokens_for(pilot, windows, pilot.longest, opened.architecture, spec.device, to_load)

    def attempt(batch_tokens: int) -> Rows:
        return measure(opened, spec, batch_tokens, lambda _: None)

    return halve_batch(attempt, first, pilot.longest, "--context", lambda _: None)[CHECKPOINTS][0]
