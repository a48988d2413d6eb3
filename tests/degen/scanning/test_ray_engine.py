"""Scans on Ray: tables of one process, also where a worker, a node or the driver is lost in the middle."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.command import degen as command
from run_parts import assert_equal
from tiny import make_series
from waiting import wait_until

import degen
from degen.checkpoints.series import Checkpoint
from degen.errors import DegenError
from degen.scanning.progress import Progress

pytestmark = pytest.mark.extras

LOOPBACK = "127.0.0.2"
STEPS = range(0, 1200, 100)
OPTIONS: dict[str, Any] = {"tokens": 512, "context": 32, "threads": 1}
WORDS = ("--tokens", "512", "--context", "32", "--threads", "1", "--engine", "ray")


@pytest.fixture(scope="module")
def long_series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return twelve checkpoints and a copy of the first; not to be written to."""
    folder = make_series(tmp_path_factory.mktemp("long") / "tiny", steps=tuple(STEPS))
    shutil.copytree(folder / "step0", folder / "step5000")
    return folder


@pytest.fixture(scope="module")
def local(long_series: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> degen.Run:
    """Return the run of one process; not to be written to."""
    return degen.scan(long_series, corpus=corpus, out=tmp_path_factory.mktemp("local") / "run", **OPTIONS)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Yield a cluster of loopback with a node for the driver and two that measure, one checkpoint at a time each.

    This process is connected to it; 127.0.0.1 Ray would replace by the address of the machine.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        import ray
        from ray.cluster_utils import Cluster

        node = {"node_ip_address": LOOPBACK, "include_dashboard": False, "object_store_memory": 100 << 20}
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **node})
        for _ in range(2):
            made.add_node(num_cpus=1, **node)
        ray.init(address=made.address, _node_ip_address=LOOPBACK, log_to_driver=False)
        made.wait_for_nodes()
        yield made
        ray.shutdown()
        made.shutdown()


class After(Progress):
    """Calls a function once, when so many checkpoints are finished."""

    def __init__(self, count: int, call: Callable[[], None]) -> None:
        self.count, self.call = count, call
        self.finished: list[str] = []

    def finish_checkpoint(self, checkpoint: Checkpoint, status: str, summary: str) -> None:
        self.finished.append(checkpoint.revision)
        if len(self.finished) == self.count:
            self.call()


def parts(run: Path) -> dict[str, int]:
    """Return when each part of table `checkpoints` was written."""
    return {f.name: f.stat().st_mtime_ns for f in (run / "checkpoints").rglob("[!.]*.parquet")}


def worker_ids() -> list[int]:
    """Return the processes of this one that measure a checkpoint."""
    import psutil

    children = psutil.Process().children(recursive=True)
    return [p.pid for p in children if p.is_running() and "".join(p.cmdline()[:1]).startswith("ray::degen ")]


def scan_on(cluster: Any, series: Path, corpus: Path, out: Path, progress: Progress | None = None) -> degen.Run:
    return degen.scan(
        series, corpus=corpus, out=out, engine="ray", ray_address=cluster.address, progress=progress, **OPTIONS
    )


def test_two_workers_of_this_machine_give_the_tables_of_one_process(
    local: degen.Run, long_series: Path, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = command("scan", long_series, "--corpus", corpus, "-o", out, *WORDS, "--workers", "2")
    assert done.code == 0
    assert_equal(degen.read_run(out), local)
    assert not list(out.glob(".downloads"))


def test_killed_worker_loses_no_checkpoint_and_repeats_no_finished_one(
    cluster: Any, local: degen.Run, long_series: Path, corpus: Path, tmp_path: Path
) -> None:
    before: dict[str, int] = {}

    def kill() -> None:
        wait_until(worker_ids, "no worker is at work")
        before.update(parts(tmp_path / "run"))
        os.kill(worker_ids()[0], signal.SIGKILL)

    progress = After(3, kill)
    assert_equal(scan_on(cluster, long_series, corpus, tmp_path / "run", progress), local)
    assert len(before) >= 3
    assert parts(tmp_path / "run").items() >= before.items()
    assert sorted(progress.finished) == sorted(p.name for p in long_series.glob("step*"))


def test_lost_node_loses_no_checkpoint_and_repeats_no_finished_one(
    cluster: Any, local: degen.Run, long_series: Path, corpus: Path, tmp_path: Path
) -> None:
    before: dict[str, int] = {}

    def remove() -> None:
        before.update(parts(tmp_path / "run"))
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    assert_equal(scan_on(cluster, long_series, corpus, tmp_path / "run", After(3, remove)), local)
    assert len(before) >= 3
    assert parts(tmp_path / "run").items() >= before.items()


def test_interrupted_scan_ends_cleanly_and_another_engine_goes_on(
    local: degen.Run, long_series: Path, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    words = ["scan", str(long_series), "--corpus", str(corpus), "-o", str(out), *WORDS, "--workers", "1"]
    scan = subprocess.Popen([sys.executable, "-m", "degen", *words], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: out.is_dir() and parts(out), "no checkpoint was measured", 300)
    scan.send_signal(signal.SIGINT)
    message = scan.communicate(timeout=300)[1]
    assert scan.returncode == 130, message
    assert "Traceback" not in message
    before = parts(out)
    assert 0 < len(before) < len(STEPS)
    assert_equal(degen.scan(long_series, corpus=corpus, out=out, **OPTIONS), local)
    assert parts(out).items() >= before.items()


def test_relative_paths_are_those_of_the_driver(
    cluster: Any, series: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(series.parent)  # the nodes were started elsewhere
    run = scan_on(cluster, Path(series.name), corpus, tmp_path / "run")
    assert [row["status"] for row in run.checkpoints()] == ["ok"] * 3


def test_address_without_a_cluster_is_refused_at_once(series: Path, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(DegenError, match=r"--engine ray: no cluster at 127\.0\.0\.1:1 \(ConnectionRefusedError"):
        degen.scan(series, corpus=corpus, out=tmp_path / "run", engine="ray", ray_address="127.0.0.1:1", **OPTIONS)
