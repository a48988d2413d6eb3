"""One checkpoint from files to rows: the cheapest load that serves every probe asked for."""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.checkpoints.series import Checkpoint
from degen.checkpoints.source import Files
from degen.errors import CheckpointError, one_line
from degen.forward.head_inputs import HeadInputs
from degen.forward.learned_positions import check_positions
from degen.forward.run_pass import run_pass
from degen.memory import OutOfMemoryError, memory_errors
from degen.model.architecture import Architecture, describe, find_head, read_config
from degen.model.flops import TRAINING, forward_flops
from degen.model.lm_head import Head, find_stored_head, used_rows
from degen.model.module_reuse import SeriesModule
from degen.probe import HeadProbe, Probe, StreamProbe, Tell, probe_errors
from degen.tables import CHECKPOINTS, Row, Rows, Tables, file_name
from degen.text.windows import Sample, Window
from degen.weights.open_weights import LoadedTensors, open_tensors
from degen.weights.peft_adapter import open_adapter
from degen.weights.stored_tensors import StoredTensors

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Job:
    """What is to be measured of every checkpoint of a series.

    Attributes:
        probes: the probes asked for, by name.
        tables: their schemas.
        sample: the windows; None where the series has no tokenizer.
        ids: the tokenizer's ids; None where there is none.
        device: of the pass.
        dtype: of the pass, as transformers takes it.
        trust: whether Python code that a checkpoint brings may run.
        options: what was set for single probes, by probe and option.
        training: windows to train on, without end; None where there is no text.
        workshop: a folder for what training goes on from.
        tell: told how training goes.
    """

    probes: Mapping[str, type[Probe]]
    tables: Tables
    sample: Sample | None
    ids: frozenset[int] | None
    device: torch.device
    dtype: Any
    trust: bool = False
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    training: Callable[[], Iterator[Window]] | None = None
    workshop: Path | None = None
    tell: Tell = lambda *_: None

    @property
    def whole(self) -> bool:
        """Whether every tensor of a checkpoint is wanted, or its head alone."""
        return self.sample is not None and bool(self.stream_probes)

    @property
    def head_probes(self) -> dict[str, type[HeadProbe]]:
        """Those that need the head's weights alone."""
        return {n: p for n, p in self.probes.items() if issubclass(p, HeadProbe)}

    @property
    def stream_probes(self) -> dict[str, type[StreamProbe]]:
        """Those that need text streamed through the model."""
        return {n: p for n, p in self.probes.items() if issubclass(p, StreamProbe)}

    @property
    def unmeasured(self) -> str | None:
        """Why some of the probes cannot be measured; None where all can."""
        if self.sample is not None or not self.stream_probes:
            return None
        return f"{', '.join(self.stream_probes)} not measured: the series has no tokenizer; name one with --tokenizer"


class Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of the block to a phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass
class Opened:
    """A checkpoint whose files are open and whose tensors are still on disk."""

    checkpoint: Checkpoint
    files: Files
    config: Any
    architecture: Architecture
    tensors: StoredTensors
    head: Head | None
    clock: Clock
    dtype: Any = None  # of the model once it is loaded
    identity: Row = field(default_factory=dict)  # what it is, apart from any measure, once its head is found


def open_checkpoint(checkpoint: Checkpoint, files: Files, job: Job, clock: Clock) -> Opened:
    """Read the configuration and find the head among the stored tensors.

    Args:
        checkpoint: which one.
        files: its files, on this machine.
        job: what is to be measured.
        clock: told how long it takes.

    Raises:
        CheckpointError: configuration or files are missing or unsound.
    """
    with clock.phase("load"):
        config = read_config(files.path, job.trust)
        architecture = describe(config, job.trust)
        tensors = open_tensors(files)
        changed = files.adapter is not None and open_adapter(files.adapter).may_change_head
        head = None if changed else find_stored_head(tensors, architecture, job.ids)
        return Opened(checkpoint, files, config, architecture, tensors, head, clock)


def measure(opened: Opened, job: Job, module: SeriesModule, batch_tokens: int, advance: Callable[[int], None]) -> Rows:
    """Measure a checkpoint.

    Args:
        opened: the checkpoint.
        job: what is to be measured.
        module: what loads the checkpoints of its series.
        batch_tokens: padded tokens of a batch at most.
        advance: told the tokens of every batch done.

    Returns:
        Rows by table, without the key columns.

    Raises:
        CheckpointError: it cannot be measured.
        OutOfMemoryError: a batch of this size does not fit.
    """
    model = None
    try:
        if opened.head is None:
            model = _load(opened, job, module)
            if opened.files.adapter is not None:
                opened.architecture = describe(model.config, job.trust)  # it may have other rows than its base
            opened.head = head_of(model, job.ids)
        tokens_seen = opened.checkpoint.tokens_seen
        opened.identity = {"tokens_seen": tokens_seen, **identity(opened.architecture, opened.head, tokens_seen)}
        found: list[tuple[str, Rows]] = [("degen", {CHECKPOINTS: [opened.identity]})]
        found += measure_head(opened.head, job, opened.clock)
        if job.sample is None and not job.head_probes:
            raise CheckpointError(str(job.unmeasured))
        if job.sample is not None and job.stream_probes:
            model = model if model is not None else _load(opened, job, module)
            state = file_name(opened.checkpoint.source.version() or "unknown")
            place = job.workshop / file_name(str(opened.checkpoint)) / state if job.workshop is not None else None
            shape, clock = opened.architecture, opened.clock
            found += measure_stream(model, shape, job, job.sample, batch_tokens, clock, advance, place)
    finally:
        del model
        _free(job.device)
    return job.tables.merge(found)


def _free(device: torch.device) -> None:
    """Give back what a checkpoint took and the next one does not use."""
    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _load(opened: Opened, job: Job, module: SeriesModule) -> Any:
    try:
        with opened.clock.phase("load"), memory_errors():
            model = module.load(opened.files, opened.config, opened.tensors, job.device, job.dtype, job.trust)
            opened.dtype = model.dtype
            return model
    except OutOfMemoryError as error:
        size = opened.architecture.parameters
        raise CheckpointError(
            f"out of memory while its {size:,} parameters were loaded ({one_line(error)}); a smaller --dtype or "
            "another --device may hold them"
        ) from error


def head_of(model: Any, ids: frozenset[int] | None) -> Head:
    """The head of a model in memory, as head probes see it; `ids` are those the tokenizer has."""
    weight = find_head(model).weight.detach().cpu()
    return Head(LoadedTensors({"lm_head.weight": weight}), "lm_head.weight", used_rows(ids, weight.shape[0]))


def measure_head(head: Head, job: Job, clock: Clock) -> list[tuple[str, Rows]]:
    """The rows of every head probe, beside its name."""
    found = []
    for name, head_probe in job.head_probes.items():
        with clock.phase(name), probe_errors(name):
            found.append((name, head_probe().measure(head)))
    return found


def measure_stream(
    model: Any,
    architecture: Architecture,
    job: Job,
    sample: Sample,
    batch_tokens: int,
    clock: Clock,
    advance: Callable[[int], None],
    place: Path | None = None,
) -> list[tuple[str, Rows]]:
    """Stream the windows through a model, from a file or in training, and let every stream probe finish.

    Args:
        model: a causal LM on the job's device, in evaluation mode.
        architecture: its shape.
        job: what is to be measured.
        sample: the windows.
        batch_tokens: padded tokens of a batch at most.
        clock: told how long it takes.
        advance: told the tokens of every batch done.
        place: a folder for what training goes on from; None where no probe trains.

    Returns:
        The rows of every stream probe, beside its name, and where the windows lie.

    Raises:
        CheckpointError: the model cannot be measured.
        OutOfMemoryError: a batch of this size does not fit.
    """
    check_positions(architecture, sample)
    probes = {}
    for name, probe_class in job.stream_probes.items():
        with probe_errors(name):
            probes[name] = probe_class(sample, **job.options.get(name, {}))
    with clock.phase("forward"), memory_errors():
        run_pass(model, sample, probes, batch_tokens, job.device, advance)
    for name, probe in probes.items():
        if probe.trains:
            assert job.training is not None
            assert place is not None
            with clock.phase(f"{name} training"), probe_errors(name), memory_errors():
                probe.train(HeadInputs(model, batch_tokens, job.device), job.training(), place / name, job.tell)
    places = [{"window": w.number, "document": w.document, "domain": w.domain} for w in sample.windows]
    found: list[tuple[str, Rows]] = [("degen", {"windows": places})] if "windows" in job.tables.names else []
    for name, probe in probes.items():
        with clock.phase(name), probe_errors(name):
            found.append((name, probe.finish()))
    return found


def identity(shape: Architecture, head: Head, tokens_seen: int | None = None) -> Row:
    """What a model is, apart from any measure: columns of `checkpoints`."""
    flops = TRAINING * forward_flops(shape)
    return {
        "architecture": shape.name,
        "parameters": shape.parameters,
        "parameters_non_embedding": shape.parameters_non_embedding,
        "layers": shape.layers,
        "hidden_size": shape.hidden_size,
        "head_size": shape.head_size,
        "vocab_size": shape.vocab_size,
        "vocab_used": head.rows_used,
        "tied": shape.tied,
        "flops_per_token": flops,
        "training_flops": flops * tokens_seen if tokens_seen is not None else None,
        "head_sha256": head.sha256,
    }


def timing_rows(clock: Clock, job: Job, version: str | None, dtype: Any) -> list[Row]:
    """The rows of table `timing`: a phase each, and their total."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    shared = {
        "peak_rss": peak,
        "device": str(job.device),
        "dtype": str(dtype if dtype is not None else job.dtype).removeprefix("torch."),
        "source_version": version,
    }
    phases = {**clock.seconds, "total": sum(clock.seconds.values())}
    return [{"phase": name, "seconds": seconds, **shared} for name, seconds in phases.items()]
