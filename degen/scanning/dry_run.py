"""Estimates of what each checkpoint of a scan costs: bytes to read, FLOPs, memory; and what the scan would refuse."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from degen.checkpoints.local import LocalSource
from degen.checkpoints.series import Checkpoint
from degen.checkpoints.source import Source
from degen.errors import CheckpointError, one_line
from degen.forward.learned_positions import too_long
from degen.model.architecture import Architecture, describe
from degen.model.configuration import read_config
from degen.model.flops import forward_flops
from degen.model.lm_head import head_tensors
from degen.model_probe import ModelProbe
from degen.paths import expand_user
from degen.planning.devices import HERE, PlannedDevices
from degen.planning.work import Work
from degen.probe import SourceProbe, StreamProbe
from degen.probe_registry import needs_text, sends_text
from degen.runs.run_file import RUN_FILE, read_info
from degen.runs.run_writer import RunWriter, check_folder, check_run
from degen.runs.stored_run import copy_for_reading, naming_url
from degen.stores.urls import url_of
from degen.tables import Row
from degen.text.windows import read_samples

from .context import fit_context
from .extend import adds_only, continue_settings, probes_to_measure
from .memory import head_memory, pass_memory, planned_memory, value_bytes
from .plan import Plan, make_plan
from .sampling import open_scanned_corpus
from .settings import Settings
from .shards import Shard

if TYPE_CHECKING:
    import torch


def estimate_costs(
    settings: Settings,
    note: Callable[[str], None] = lambda _: None,
    out: Path | None = None,
    fresh: bool = False,
    devices: PlannedDevices | None = None,
    shard: Shard | None = None,
) -> list[Row]:
    """Return what each checkpoint of a scan would cost, from configurations and file headers alone.

    Formula: FLOPs = tokens · `forward_flops` at the length of the windows, and at most as many tokens more as the model
    probes send through the model. Without a probe that needs text or all tensors only the head is read.

    Args:
        settings: of the scan.
        note: called with a message where windows are shorter than by default.
        out: the run folder, or its URL; None for none.
        fresh: whether the scan would start over there.
        devices: those to plan for; None for the one that is here, without times. Of a series on the hub, one
            configuration and the sizes of one checkpoint are then read, and taken for all.
        shard: the part of the checkpoints that is meant; None for all.

    Returns:
        A row for each checkpoint: `bytes` to read from its files, `flops`, `memory`, the most bytes that the scan takes
        at once on its device; nulls and a `reason` where it cannot be measured, zeros where the run has it already;
        `kept`, bytes of states that the run keeps, where a probe keeps any. Of planned devices also `seconds` on one of
        them, `longest`, the phase that takes most of these, and `fits`, whether `memory` is there; of this machine's
        CPU `cpu_seconds`, the time of all threads together.

    Raises:
        DegenError: the scan would be refused: series, probes, corpus or device cannot be found, or the run folder is of
            other settings.
    """
    from degen.model.loading import choose_device

    url = url_of(out) if out is not None else None
    out = copy_for_reading(url) if url is not None else out
    begun = None if fresh else out
    settings = continue_settings(settings, begun)
    plan = make_plan(settings)
    plan.shard = shard.members(plan.checkpoints, settings.trust_remote_code) if shard is not None else None
    settings = fit_context(settings, plan, begun, note)
    device = choose_device(settings.device if devices is None else "cpu")
    _check_inputs(settings, plan, needs_text(plan.probes.values()))
    if out is not None:
        with naming_url(url, out) if url is not None else nullcontext():
            check_folder(out) if fresh else check_run(out, settings.to_json(), adds_only)
    own, pending = plan.own_checkpoints, _pending(plan, begun)
    nothing: Row = {"bytes": 0, "flops": 0.0, "memory": 0, "reason": None}
    if devices is not None:
        nothing |= {"seconds": 0.0, "longest": None, "fits": True}
    estimator = _Estimator(plan, settings, device, devices)
    costs = ((c, estimator.row(c)) for c in own)
    rows = [
        cost if pending is None or checkpoint in pending else cost | nothing | {"kept": 0} for checkpoint, cost in costs
    ]
    if not any(row["kept"] for row in rows):
        for row in rows:
            del row["kept"]
    return rows


def _pending(plan: Plan, begun: Path | None) -> Collection[Checkpoint] | None:
    """Return the checkpoints that a run still lacks; None for all, where there is no run."""
    info = read_info(begun / RUN_FILE) if begun is not None else None
    if begun is None or info is None:
        return None
    return probes_to_measure(plan, RunWriter(begun, info, fresh=False))


def _check_inputs(settings: Settings, plan: Plan, streams: bool) -> None:
    """Refuse a corpus or windows that are not there.

    Raises:
        DegenError: they are not, or cannot be read.
    """
    if streams and settings.sample is not None:
        read_samples(expand_user(settings.sample))
    elif streams:
        open_scanned_corpus(settings)


def total_cost(costs: Sequence[Row]) -> tuple[int, float]:
    """Return the bytes to read and the FLOPs of all checkpoints of `estimate_costs` that can be measured."""
    return sum(row["bytes"] or 0 for row in costs), sum(row["flops"] or 0 for row in costs)


@dataclass
class _Estimator:
    """Estimates what checkpoints cost, and of a series on the hub, planned for, what one of them does."""

    plan: Plan
    settings: Settings
    device: torch.device
    devices: PlannedDevices | None
    _of_series: dict[str, Row] = field(default_factory=dict)

    def row(self, checkpoint: Checkpoint) -> Row:
        """Return the row of a checkpoint."""
        own: Row = {"model": checkpoint.model, "revision": checkpoint.revision, "step": checkpoint.step}
        known = self._of_series.get(checkpoint.model)
        if known is not None and known["reason"] is None:
            return known | own
        row = _estimate_cost(checkpoint, self.plan, self.settings, self.device, self.devices)
        if self.devices is not None and not isinstance(checkpoint.source, LocalSource):
            self._of_series[checkpoint.model] = row
        return row


def _estimate_cost(
    checkpoint: Checkpoint, plan: Plan, settings: Settings, device: torch.device, devices: PlannedDevices | None
) -> Row:
    row: Row = {"model": checkpoint.model, "revision": checkpoint.revision, "step": checkpoint.step}
    streams = sends_text(plan.probes.values())
    whole = streams or any(issubclass(probe, SourceProbe) for probe in plan.probes.values())
    try:
        trust = settings.trust_remote_code
        shape = describe(read_config(checkpoint.source.config(), trust), trust)
        size = checkpoint.source.size() if whole else _head_size(checkpoint.source, shape)
        if streams and (reason := too_long(shape, settings.longest_window)) is not None:
            raise CheckpointError(reason)
    except CheckpointError as error:
        planned = () if devices is None else ("seconds", "longest", "fits")
        unknown = dict.fromkeys(("parameters", "bytes", "flops", "memory", *planned))
        return row | unknown | {"kept": None, "reason": one_line(error)}
    copies = max((probe.copies for probe in plan.probes.values() if issubclass(probe, ModelProbe)), default=0)
    options = settings.options
    tokens = _forward_tokens(plan, settings)
    cost: Row = {
        "parameters": shape.parameters,
        "bytes": size,
        "flops": tokens * forward_flops(shape, settings.longest_window),
        "memory": pass_memory(shape, size, settings, device, copies) if streams else head_memory(shape, size),
    }
    if devices is not None:
        cost |= _planned(cost, shape, settings, tokens, devices, copies if streams else None)
    return (
        row
        | cost
        | {
            "kept": sum(probe.stored_bytes(shape, **options.get(name, {})) for name, probe in plan.probes.items()),
            "reason": None,
        }
    )


def _planned(
    cost: Row, shape: Architecture, settings: Settings, tokens: int, devices: PlannedDevices, copies: int | None
) -> Row:
    """Return what planning adds to the cost of a checkpoint.

    Args:
        cost: of the checkpoint, on the CPU.
        shape: of its model.
        settings: of the scan.
        tokens: sent through the model.
        devices: planned for.
        copies: of all parameters that a probe holds beside them; None where no text is sent through the model.
    """
    on_cpu, memory, size, batch = devices.name == HERE, cost["memory"], cost["bytes"], settings.longest_window
    if not on_cpu and copies is not None:
        memory, batch = planned_memory(shape, size, settings, devices.rates.memory, copies)
    work = Work(
        flops=cost["flops"], value=2 if value_bytes(shape, size, settings, on_cpu) < 4 else 4,
        parameters=shape.parameters if copies is not None else 0, width=shape.hidden_size, layers=shape.layers,
        vocab=shape.vocab_size, head_width=shape.head_size, tokens=tokens, stored=size, batches=-(-tokens // batch),
    )  # fmt: skip
    seconds, on_threads = devices.rates.seconds(work), devices.rates.cpu_seconds(work)
    own = {} if on_threads is None else {"cpu_seconds": sum(on_threads.values())}
    return own | {
        "memory": memory,
        "seconds": sum(seconds.values()),
        "longest": max(seconds, key=lambda name: seconds[name]),
        "fits": memory <= devices.rates.memory,
    }


def _forward_tokens(plan: Plan, settings: Settings) -> int:
    """Return the tokens that go through the model at most: those of the pass, and those of each model probe."""
    tokens = settings.tokens if any(issubclass(probe, StreamProbe) for probe in plan.probes.values()) else 0
    for name, probe in plan.probes.items():
        if issubclass(probe, ModelProbe):
            tokens += probe.forward_tokens(**settings.options.get(name, {}))
    return tokens


def _head_size(source: Source, shape: Architecture) -> int:
    tensors = source.tensors()
    return sum(tensors.size(key) for key in head_tensors(tensors, shape)) or tensors.size(None)
