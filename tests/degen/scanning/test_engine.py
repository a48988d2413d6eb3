"""Which engine measures: what is refused, and which checkpoints go to one task."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tiny import make_series

import degen
from degen.errors import DegenError
from degen.runs.run_writer import RunWriter
from degen.scanning.engine import Engine
from degen.scanning.plan import make_plan
from degen.scanning.progress import Progress
from degen.scanning.ray_engine import fail_group, find_groups, task_resources
from degen.scanning.ray_worker import HeartbeatBoard, RayJob
from degen.scanning.settings import Settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "slurm"}, "--engine slurm: must be one of local, ray"),
        ({"workers": 2}, "--workers: belongs to --engine ray"),
        ({"ray_address": "auto"}, "--ray-address: belongs to --engine ray"),
        ({"engine": "ray", "workers": 0}, "--workers 0: must be from 1 to 65536"),
    ],
)
def test_engines_that_there_are_not_are_refused(options: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(DegenError, match=f"^{message}"):
        degen.scan(out=tmp_path / "run", **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_missing_ray_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DegenError, match=r"--engine ray needs an extra: pip install 'degen-lm\[ray\]'"):
        degen.scan(out=tmp_path / "run", engine="ray")


def test_local_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert Engine().default_threads() is None
    monkeypatch.setattr("degen.scanning.engine.find_spec", lambda name: name)
    assert [Engine("ray", None, n).default_threads() for n in (None, 2, 3, 20)] == [8, 4, 2, 1]
    assert [Engine("ray", None, n).default_threads(4) for n in (None, 2)] == [2, 4]  # a worker for each of four cards
    assert Engine("ray", "auto", 2).default_threads() is None


def test_one_card_by_its_number_is_refused_for_workers_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("degen.scanning.engine.find_spec", lambda name: name)
    for device in ("cuda:1", "xpu:0"):
        message = f"^--device {device}: names one card, and each worker .* give --device {device[:-2]}, or leave"
        with pytest.raises(DegenError, match=message):
            degen.scan(out=tmp_path / "run", engine="ray", device=device)
    assert not list(tmp_path.iterdir())
    for device in ("auto", "cpu", "cuda", "cpu:0"):
        Engine("ray").check_device(device)
    Engine().check_device("cuda:1")


def test_copies_go_to_one_task_with_what_was_measured_of_them(tmp_path: Path) -> None:
    make_series(tmp_path / "tiny", steps=(1, 2, 3))
    weights = (tmp_path / "tiny" / "step1" / "model.safetensors").read_bytes()
    (tmp_path / "tiny" / "step3" / "model.safetensors").write_bytes(weights)
    plan = make_plan(Settings((str(tmp_path / "tiny"),)))
    first, second, third = plan.checkpoints

    def groups(*pending: object) -> list[tuple[object, ...]]:
        job = RayJob(Settings(()), plan, tmp_path, {}, "none", {c: [] for c in plan.checkpoints if c in pending})
        return list(find_groups(job))

    assert groups(first, second, third) == [(first, third), (second,)]
    assert groups(third) == [(first, third)]
    assert groups(second) == [(second,)]


def test_board_has_the_latest_report_of_each_task_at_work() -> None:
    board = HeartbeatBoard()
    for task, text in [(2, "c"), (1, "a"), (1, "b"), (3, "d"), (3, None), (4, None)]:
        board.beat(task, text)
    assert board.read() == ["b", "c"]


def test_what_lost_workers_measured_of_a_group_is_kept(series: Path, run_copy: Path) -> None:
    settings = Settings((str(series),))
    plan = make_plan(settings)
    info = dict(degen.read_run(run_copy).info)
    writer = RunWriter(run_copy, info, False, info, shared=True)
    lost = plan.checkpoints[1]
    writer.part("checkpoints", lost).unlink()
    job = RayJob(settings, plan, run_copy, info, "none", {c: list(plan.probes) for c in plan.checkpoints})
    assert fail_group(job, writer, Progress(), tuple(plan.checkpoints), "its worker was lost") == []
    rows = degen.read_run(run_copy).checkpoints()
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert rows[1]["reason"] == "its worker was lost"


def test_a_task_takes_a_card_and_all_of_a_node_where_its_model_is_spread() -> None:
    nodes = [{"CPU": 8.0, "memory": 4e9}, {"CPU": 32.0, "GPU": 8.0, "memory": 9e9}]
    assert task_resources(nodes, "cuda", 4, 0, spreads=False) == {"num_cpus": 1, "num_gpus": 1}
    assert task_resources(nodes, "cuda", 4, 0, spreads=True) == {"num_cpus": 1, "num_gpus": 8}
    assert task_resources(nodes, "cpu", 64, 10**10, spreads=False) == {"num_cpus": 32, "memory": 9 * 10**9}
    assert task_resources([], "cpu", 2, 0, spreads=True) == {"num_cpus": 1}
