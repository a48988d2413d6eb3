"""The set-up of `.venv` by make: what it says where it cannot be done; it does nothing where nothing changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the set-up reads of a clone."""
    for name in (".ci/setup", "pyproject.toml", "constraints.txt", "Makefile"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def set_up(clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHON": sys.executable, **environment}
    return subprocess.run([".ci/setup"], cwd=clone, env=variables, capture_output=True, text=True, check=False)


def test_a_python_that_is_too_old_or_absent_ends_in_one_sentence(clone: Path) -> None:
    for version in ("2.7.18", "3.9.2", "3.10.14"):
        old = clone / "old"
        old.write_text(f"#!/bin/sh\necho {version}\n")
        old.chmod(0o755)
        done = set_up(clone, PYTHON=str(old))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"set-up: {old} is Python {version}, and 3.11 or newer is needed; name another: make PYTHON=python3.12\n"
        )
    assert "nosuch is not there; install Python 3.11" in set_up(clone, PYTHON="nosuch").stderr
    assert not (clone / ".venv").exists()


def test_too_little_room_ends_in_one_sentence_before_anything_is_written(clone: Path) -> None:
    done = set_up(clone, SETUP_KB="9000000000000")
    assert done.returncode == 1
    assert done.stderr.startswith("set-up: 9000000000 MB are needed for .venv, and ")
    assert done.stderr.count("\n") == 1
    assert not (clone / ".venv").exists()


def test_a_failing_pip_ends_in_one_sentence_and_the_rest_is_in_a_file(clone: Path) -> None:
    (clone / "pyproject.toml").write_text("[build-system")
    done = set_up(clone, PIP_NO_INDEX="1", PIP_FIND_LINKS="", SETUP_KB="1")
    assert done.returncode == 1
    assert done.stdout.count("\n") == done.stderr.count("\n") == 1
    assert done.stdout.startswith("setting up .venv with Python ")
    assert done.stderr.startswith("set-up: ")
    assert done.stderr.endswith("all that it said is in .venv/setup.log\n")
    assert (clone / ".venv" / "setup.log").read_text()
    assert not (clone / ".venv" / "ready").exists()


def test_nothing_is_done_where_nothing_changed(clone: Path) -> None:
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / "bin" / "python").symlink_to(sys.executable)
    ready = clone / ".venv" / "ready"
    script = "cat pyproject.toml constraints.txt .ci/setup | cksum; echo $0"
    version = ".".join(map(str, sys.version_info[:3]))
    ready.write_text(subprocess.check_output(["sh", "-c", script, version], cwd=clone, text=True))
    before = ready.read_text()
    os.utime(ready, (0, 0))  # older than the files, as after a change of branches
    done = set_up(clone)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert ready.read_text() == before
    assert ready.stat().st_mtime > 0
