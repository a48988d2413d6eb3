"""The Dockerfile: a linter passes it, and what it runs works in a clean environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LEFT_OUT = (".git", ".venv", "build", "dist", "degen-run", "shared")


def run_commands() -> list[str]:
    """Return the commands of RUN, each on one line."""
    return re.findall(r"^RUN (.*)$", TEXT.replace("\\\n", " "), re.MULTILINE)


def test_the_base_image_is_an_argument_and_no_user_is_root() -> None:
    lines = [line for line in TEXT.splitlines() if line and not line.startswith("#")]
    assert re.fullmatch(r"ARG BASE=python:3\.\d+-slim", lines[0])
    assert lines[1] == "FROM ${BASE}"
    assert "USER 1000" in lines
    assert lines[-1] == 'ENTRYPOINT ["degen"]'
    assert len(run_commands()) == 1


def test_what_is_built_or_private_is_not_copied_into_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "build", "dist"} <= set(ignored)


@pytest.mark.extras
def test_the_linter_passes_it(tmp_path: Path) -> None:
    hadolint = str(Path(sys.executable).parent / "hadolint")
    done = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    (tmp_path / "Dockerfile").write_text(TEXT.replace("--no-cache-dir ", "") + "RUN cd /x\n")
    assert subprocess.run([hadolint, str(tmp_path / "Dockerfile")], capture_output=True, check=False).returncode == 1


@pytest.mark.extras
def test_its_commands_work_in_a_clean_environment(tmp_path: Path) -> None:
    source = tmp_path / "src"
    shutil.copytree(ROOT, source, ignore=lambda _, names: [n for n in names if n in LEFT_OUT or n.endswith("egg-info")])
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", TEXT, re.MULTILINE))
    # of the machine: an index that cannot be reached from here would only make pip wait
    arguments["TORCH_INDEX"] = os.environ.get("TORCH_INDEX", "https://pypi.org/simple")
    path = f"{tmp_path / 'venv' / 'bin'}:/usr/bin:/bin"
    environment = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_", "HF_HUB_OFFLINE"))}
    environment |= {"PATH": path, "HOME": str(tmp_path), **arguments}
    for command in run_commands():
        done = subprocess.run(
            ["sh", "-c", command], cwd=source, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "ok: self-test: cpu: 21 figures" in done.stdout
