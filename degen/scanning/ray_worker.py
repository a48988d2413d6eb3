"""What a worker of Ray does: it measures checkpoints of a run that the driver has made, and writes their parts."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from degen.checkpoints.downloads import own_downloads
from degen.checkpoints.prefetch import Fetcher
from degen.checkpoints.series import Checkpoint
from degen.errors import DegenError
from degen.runs.run import DOWNLOADS
from degen.runs.run_file import RUN_FILE
from degen.runs.run_writer import RunWriter

from .plan import Plan
from .progress import PHASES, Progress
from .sampling import Samples, prepare_samples
from .series_scan import SeriesScan
from .settings import Settings

HEARTBEAT = 1.0  # seconds between two reports of a worker


@dataclass(frozen=True)
class RayJob:
    """All that workers need to know of a scan; made by the driver once.

    Attributes:
        settings: of the scan.
        plan: its series and probes.
        path: the run folder, which every node must see.
        info: its run.json.
        keep: as for `Downloads`.
        pending: the checkpoints still to be measured, each with the probes that it lacks.
        working_folder: of the driver, from which the relative paths in settings and plan start.
    """

    settings: Settings
    plan: Plan
    path: Path
    info: dict[str, Any]
    keep: str
    pending: Mapping[Checkpoint, Sequence[str]]
    working_folder: Path = field(default_factory=Path.cwd)


@dataclass(frozen=True)
class Finished:
    """One checkpoint that a worker is done with: how it went, and the seconds that it took."""

    checkpoint: Checkpoint
    status: str
    summary: str
    seconds: float


@dataclass
class GroupResult:
    """What a worker returns of a task.

    Attributes:
        finished: its checkpoints, in order.
        lines: notes and warnings, each with whether it is a warning.
        batch_tokens: tokens of a batch, by the checkpoint from which they hold.
        not_added: checkpoints that an added probe failed on, each with the reason.
        error: why the run cannot go on; None where it can.
    """

    finished: list[Finished] = field(default_factory=list)
    lines: list[tuple[bool, str]] = field(default_factory=list)
    batch_tokens: dict[str, int] = field(default_factory=dict)
    not_added: list[str] = field(default_factory=list)
    error: str | None = None


class HeartbeatBoard:
    """The latest report of every task: an actor to which workers write, and which the driver reads."""

    def __init__(self) -> None:
        self._beats: dict[int, str] = {}

    def beat(self, task: int, text: str | None) -> None:
        """Replace the report of a task; None removes it."""
        if text is None:
            self._beats.pop(task, None)
        else:
            self._beats[task] = text

    def read(self) -> list[str]:
        """Return the reports of the tasks at work, in the order of the tasks."""
        return [self._beats[task] for task in sorted(self._beats)]


class _WorkerWriter(RunWriter):
    """Writes parts; run.json is the driver's."""

    def save_info(self) -> None:
        """Leave run.json as it is."""


class _WorkerProgress(Progress):
    """Collects what the driver is to show, and sends it heartbeats."""

    def __init__(self, task: int, board: Any, result: GroupResult) -> None:
        self._task, self._board, self._result = task, board, result
        self._name, self._phase = "", ""
        self._tokens = self._passed = 0
        self._began = time.monotonic()
        self._last = 0.0

    def note(self, text: str) -> None:
        self._result.lines.append((False, text))

    def warn(self, text: str) -> None:
        self._result.lines.append((True, text))

    def start_phase(self, name: str) -> None:
        self._phase = PHASES.get(name, name)
        self._beat()

    def start_checkpoint(self, checkpoint: Checkpoint, tokens: int) -> None:
        self._name, self._tokens, self._passed, self._began = str(checkpoint), tokens, 0, time.monotonic()
        self._beat()

    def advance(self, tokens: int) -> None:
        self._passed += tokens
        self._beat()

    def report_training(self, text: str, done: int, total: int) -> None:
        self._phase = f"training {done / total:.0%}" if total else "training"
        self._beat()

    def finish_checkpoint(self, checkpoint: Checkpoint, status: str, summary: str) -> None:
        self._result.finished.append(Finished(checkpoint, status, summary, time.monotonic() - self._began))

    def _beat(self) -> None:
        if time.monotonic() < self._last + HEARTBEAT:
            return
        self._last = time.monotonic()
        share = f" {min(self._passed / self._tokens, 1):.0%}" if self._tokens else ""
        self._board.beat.remote(self._task, f"{self._name} {self._phase}{share}".strip())


_jobs: dict[str, tuple[RayJob, Samples]] = {}  # of this process, which measures many checkpoints of one scan


def measure_group(key: str, box: list[Any], task: int, group: Sequence[Checkpoint], board: Any) -> GroupResult:
    """Measure checkpoints that are copies of one another, mostly one, and write their parts.

    Args:
        key: tells this scan from others that the process has worked for.
        box: holds a reference to the `RayJob`, which is fetched once.
        task: the number of the task.
        group: the checkpoints of one series, in order, those measured already included.
        board: the actor `HeartbeatBoard`.
    """
    result = GroupResult()
    progress = _WorkerProgress(task, board, result)
    try:
        job, samples = _open_job(key, box, progress)
        writer = _WorkerWriter(job.path, {**job.info, "batch_tokens": {}}, False, job.info, shared=True)
        plan = replace(job.plan, shard=frozenset(group))
        pending = {checkpoint: job.pending[checkpoint] for checkpoint in group if checkpoint in job.pending}
        series = next(s for s in plan.series if s.model == group[0].model)
        scan = SeriesScan(series, job.settings, plan, samples, writer, progress)
        requests = scan.fetch_requests(pending)
        with own_downloads(job.path / DOWNLOADS, job.keep) as to, Fetcher(to, requests, scan.is_copy) as fetcher:
            scan.run(pending, fetcher)
        result.batch_tokens, result.not_added = writer.info["batch_tokens"], scan.not_added
    except (DegenError, OSError) as error:
        result.error = str(error)
    board.beat.remote(task, None)
    return result


def _open_job(key: str, box: list[Any], progress: Progress) -> tuple[RayJob, Samples]:
    """Return the scan and its windows, read once in a process.

    Raises:
        DegenError: this node does not see the run folder.
    """
    if key not in _jobs:
        import ray
        import torch

        from degen.model.loading import silence_transformers

        silence_transformers()
        job: RayJob = ray.get(box[0])
        if not (job.path / RUN_FILE).is_file():
            raise DegenError(
                f"{job.path}: {platform.node()} does not see this run folder; name one that every node sees with "
                "--out, or in DEGEN_CACHE a folder for the copy of a run at a URL"
            )
        with suppress(OSError):  # else what has a relative path fails in its own row
            os.chdir(job.working_folder)
        os.environ.setdefault("TQDM_DISABLE", "1")
        torch.set_num_threads(job.info["threads"])
        writer = _WorkerWriter(job.path, job.info, False, job.info, shared=True)
        _jobs.clear()
        _jobs[key] = job, prepare_samples(job.settings, job.plan, writer, progress)
    return _jobs[key]
