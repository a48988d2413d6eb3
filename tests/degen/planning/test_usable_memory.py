from __future__ import annotations

import math
from pathlib import Path

import pytest

from degen.planning import calibration
from degen.planning.calibration import calibrate
from degen.planning.usable_memory import memory_limits, usable_memory


def test_this_machine_has_memory_and_plans_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert calibrate().memory == usable_memory() > 1 << 28
    monkeypatch.setattr(calibration, "usable_memory", lambda: 8e9)  # as a container may be limited to
    assert calibrate().memory == 8e9


def test_a_container_or_a_job_has_the_least_limit_of_the_groups_that_it_is_in(tmp_path: Path) -> None:
    own, root = tmp_path / "cgroup", tmp_path / "groups"
    job = root / "slice" / "job"
    job.mkdir(parents=True)
    own.write_text("3:cpu,cpuacct:/other\n0::/slice/job\n")
    (job / "memory.max").write_text("max\n")
    assert min(memory_limits(own, root)) == math.inf
    (root / "slice" / "memory.max").write_text("8000\n")
    (tmp_path / "memory.max").write_text("1\n")  # not above the root
    assert min(memory_limits(own, root)) == 8000
    (root / "memory" / "a").mkdir(parents=True)
    (root / "memory" / "a" / "memory.limit_in_bytes").write_text("700\n")
    own.write_text("4:memory,hugetlb:/a\n")
    assert min(memory_limits(own, root)) == 700
    assert memory_limits(tmp_path / "missing", root) == [math.inf]
