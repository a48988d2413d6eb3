"""The driver of a scan on Ray: a task for each checkpoint, repeated where a worker or its node is lost."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from degen.checkpoints.series import Checkpoint
from degen.device import count_cards
from degen.errors import CheckpointError, DegenError, one_line
from degen.model.architecture import describe
from degen.model.configuration import read_config
from degen.probe import SourceProbe
from degen.probe_registry import sends_text
from degen.tables import CHECKPOINTS

from .engine import Engine
from .extend import missing_probes
from .memory import head_memory, pass_memory
from .progress import Progress
from .ray_worker import GroupResult, HeartbeatBoard, RayJob, measure_group
from .shards import identity

if TYPE_CHECKING:
    import torch

    from degen.runs.run_writer import RunWriter

RETRIES = 3  # of a checkpoint whose worker or node was lost
AHEAD = 2  # tasks handed over for each that can run at once, so that no worker waits for the next
POLL = 1.0  # seconds between two looks at the heartbeats

Group = tuple[Checkpoint, ...]


def measure_on_ray(engine: Engine, job: RayJob, writer: RunWriter, device: torch.device, progress: Progress) -> None:
    """Measure the pending checkpoints of a run on Ray; workers write their parts into the run folder.

    Args:
        engine: where, and how many at once.
        job: what is to be measured.
        writer: of the run, whose run.json and windows are written.
        device: of the pass.
        progress: gets how far the scan is.

    Raises:
        DegenError: the cluster cannot be reached, or the run cannot be written.
    """
    groups = find_groups(job)
    progress.start_phase("starting Ray")
    with _connected(engine, device) as ray:
        _Driver(ray, engine, job, writer, device, progress).run(groups)


def find_groups(job: RayJob) -> list[Group]:
    """Return the checkpoints in groups of copies with a pending one each, in order; most groups have one member."""
    groups: dict[str, list[Checkpoint]] = {}
    for checkpoint in job.plan.own_checkpoints:
        groups.setdefault(identity(checkpoint, job.settings.trust_remote_code), []).append(checkpoint)
    return [tuple(group) for group in groups.values() if not job.pending.keys().isdisjoint(group)]


@contextmanager
def _connected(engine: Engine, device: torch.device) -> Iterator[Any]:
    """Yield the module `ray`, connected to the cluster, or to one of this machine that ends with the block.

    Raises:
        DegenError: the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would call its makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": None}
    was_connected = ray.is_initialized()
    try:
        if engine.address is not None:
            _check_address(engine.address)
        if was_connected:
            pass  # a caller in Python chose the cluster
        elif engine.address is not None:
            ray.init(address=engine.address, **quiet)
        else:
            cards = count_cards(device)
            ray.init(
                address="local", num_cpus=engine.workers or max(cards, 1), num_gpus=cards,
                _node_ip_address="127.0.0.1", **quiet | {"include_dashboard": False},
            )  # fmt: skip
    except (OSError, RuntimeError, ValueError) as error:
        shown = engine.address or "this machine"
        raise DegenError(f"--engine ray: no cluster at {shown} ({one_line(error)}); see `ray status`") from error
    try:
        yield ray
    finally:
        if not was_connected:
            ray.shutdown()


def _check_address(address: str) -> None:
    """Refuse an address at which nobody listens, for which Ray would wait for minutes.

    Raises:
        OSError: it is such an address.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal() and int(port) < 1 << 16:
        socket.create_connection((host, int(port)), timeout=10).close()


class _Driver:
    """Hands tasks to Ray and takes their results; few are under way at once, so that its memory does not grow."""

    def __init__(
        self, ray: Any, engine: Engine, job: RayJob, writer: RunWriter, device: torch.device, progress: Progress
    ) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray, self._job, self._writer, self._progress = ray, job, writer, progress
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board = ray.remote(HeartbeatBoard).options(num_cpus=0, scheduling_strategy=here).remote()
        self._box = [ray.put(job)]
        self._key = secrets.token_hex(8)
        self._resources = self._task_resources(engine, device)
        self._task = ray.remote(max_calls=0, max_retries=RETRIES)(measure_group)
        self._at_once = engine.workers or self._room()
        self._limited = engine.workers is not None and engine.address is not None
        self._under_way: dict[Any, Group] = {}
        self._not_added: list[str] = []

    def _task_resources(self, engine: Engine, device: torch.device) -> dict[str, Any]:
        """Return what a task takes of its node; on a cluster the cores of its threads, and memory on a CPU."""
        on_cluster = engine.address is not None
        memory = task_memory(self._job, device) if on_cluster and device.type == "cpu" else 0
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        threads = self._job.info["threads"] if on_cluster else 1
        spreads = self._job.settings.device_map is not None
        return task_resources(nodes, device.type, threads, memory, spreads=spreads)

    def _room(self) -> int:
        """Return how many tasks the cluster can run at once."""
        there = self._ray.cluster_resources()
        kind, name = ("GPU", "num_gpus") if "num_gpus" in self._resources else ("CPU", "num_cpus")
        return max(int(there.get(kind, 1) // max(self._resources[name], 1)), 1)

    def run(self, groups: Sequence[Group]) -> None:
        """Measure all groups.

        Raises:
            DegenError: the run cannot go on, or probes that were added could not be measured.
        """
        waiting = iter(enumerate(groups))
        try:
            while self._fill(waiting) or self._under_way:
                done, _ = self._ray.wait(list(self._under_way), num_returns=1, timeout=POLL)
                for reference in done:
                    self._take(reference)
                self._show()
        except BaseException:
            for reference in self._under_way:
                with suppress(Exception):
                    self._ray.cancel(reference, force=True)
            raise
        if kept := self._not_added:
            raise DegenError(
                f"{self._writer.path}: of {len(kept)} checkpoint{'s' * (len(kept) > 1)} the added probes could not be "
                f"measured: {kept[0]}; what was measured before is kept, and the same command tries again",
                exit_code=4,
            )

    def _fill(self, waiting: Iterator[tuple[int, Group]]) -> bool:
        """Hand over as many tasks as can be under way; return whether there was one."""
        most = self._at_once if self._limited else AHEAD * max(self._at_once, self._room())
        new = list(islice(waiting, max(most - len(self._under_way), 0)))
        for number, group in new:
            task = self._task.options(name=f"degen {group[0]}", **self._resources)
            self._under_way[task.remote(self._key, self._box, number, group, self._board)] = group
        return bool(new)

    def _take(self, reference: Any) -> None:
        """Take the result of a task; a checkpoint whose worker was lost again and again has failed.

        Raises:
            DegenError: the run cannot go on.
        """
        group = self._under_way.pop(reference)
        try:
            result: GroupResult = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise DegenError(
                f"a worker cannot measure {group[0]} ({one_line(error.cause or error, 200)}); every node needs "
                "degen-lm and its packages in the versions that are here",
                exit_code=4,
            ) from error
        except (self._ray.exceptions.RayError, OSError) as error:
            reason = f"its worker was lost {RETRIES + 1} times ({one_line(error, 150)})"
            self._not_added += fail_group(self._job, self._writer, self._progress, group, reason)
            return
        for is_warning, line in result.lines:
            (self._progress.warn if is_warning else self._progress.note)(line)
        for finished in result.finished:
            self._progress.finish_elsewhere(finished.checkpoint, finished.status, finished.summary, finished.seconds)
        self._not_added += result.not_added
        if result.batch_tokens:
            self._writer.info["batch_tokens"] |= result.batch_tokens
            self._writer.save_info()
        self._writer.publish()
        if result.error is not None:
            raise DegenError(result.error, exit_code=4)

    def _show(self) -> None:
        """Show what the workers report."""
        with suppress(self._ray.exceptions.RayError):
            beats = self._ray.get(self._board.read.remote(), timeout=POLL)
            more = f" and {len(beats) - 1} more" if len(beats) > 1 else ""
            self._progress.start_phase(f"{beats[0]}{more}" if beats else "waiting for workers")


def fail_group(job: RayJob, writer: RunWriter, progress: Progress, group: Group, reason: str) -> list[str]:
    """Write rows for the checkpoints of a group whose workers were lost; those measured before that keep theirs.

    Returns:
        The checkpoints that probes were to be added to, each with the reason; what they had is kept.
    """
    not_added = []
    for checkpoint in (c for c in group if c in job.pending):
        if not missing_probes(checkpoint, job.plan, writer)[0]:
            progress.finish_elsewhere(checkpoint, "ok", "", 0.0)
            continue
        progress.finish_elsewhere(checkpoint, "failed", reason, 0.0)
        if len(job.pending[checkpoint]) < len(job.plan.probes):
            not_added.append(f"{checkpoint}: {reason}")
            continue
        row = {"tokens_seen": checkpoint.tokens_seen, "status": "failed", "reason": reason,
               "stage": checkpoint.stage, "seed": checkpoint.seed}  # fmt: skip
        writer.write(checkpoint, job.plan.tables, {CHECKPOINTS: [row]}, "")
    return not_added


def task_resources(
    nodes: Sequence[Mapping[str, float]], device: str, threads: int, memory: int, *, spreads: bool
) -> dict[str, float]:
    """Return what a task takes of its node.

    Args:
        nodes: what each node has, as Ray names it.
        device: the kind of device of the pass.
        threads: CPU threads of a checkpoint.
        memory: bytes that a task on a CPU takes; 0 to ask for none.
        spreads: whether a model is spread over all cards of a node.
    """
    if device != "cpu":
        cards = max((int(node.get("GPU", 0)) for node in nodes), default=0) if spreads else 1
        return {"num_cpus": min(threads, 1), "num_gpus": max(cards, 1)}
    most = min(int(max((node.get("memory", 0) for node in nodes), default=0)), memory)
    cores = min(threads, int(max((node.get("CPU", 1) for node in nodes), default=1)))
    resources: dict[str, float] = {"num_cpus": cores}
    return resources | {"memory": most} if most else resources


def task_memory(job: RayJob, device: torch.device) -> int:
    """Return the most bytes that a checkpoint takes, by the first of each series; 0 where none can be read."""
    whole = sends_text(job.plan.probes.values())
    sizes = [0]
    for series in job.plan.series:
        source = series.checkpoints[0].source
        with suppress(CheckpointError, OSError):
            trust = job.settings.trust_remote_code
            shape = describe(read_config(source.config(), trust), trust)
            if whole or any(issubclass(probe, SourceProbe) for probe in job.plan.probes.values()):
                sizes.append(pass_memory(shape, source.size(), job.settings, device))
            else:
                sizes.append(head_memory(shape, 4 * shape.vocab_size * shape.head_size))
    return max(sizes)
