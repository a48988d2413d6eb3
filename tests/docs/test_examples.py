"""The examples run: on less text and fewer checkpoints than they say, else as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from documents import ROOT, blocks, commands, read, run_python

import degen

EXAMPLES = ROOT / "examples"
PACKAGE = EXAMPLES / "probe_package"


def shortened(name: str, *changes: tuple[str, str]) -> str:
    """Return an example with some of its words replaced; each must stand in it."""
    text = read(f"examples/{name}")
    for long, short in changes:
        assert long in text
        text = text.replace(long, short)
    return text


def test_the_figures_of_the_paper_are_drawn_with_the_published_ones(tmp_path: Path) -> None:
    code = shortened(
        "paper_figures.py", ("tokens=20_000", 'tokens=1_000, steps="2000,3000", threads=1'), ('"20000"', '"2000"')
    )
    printed = run_python(code, tmp_path)
    assert "pythia-410m" in printed
    drawn = {file.stem.removeprefix("figure-") for file in (tmp_path / "paper-figures").glob("*.svg")}
    assert drawn == {"1a", "1b-published", "2", "3a", "3b", "4-1", "4-2", "4-3", "5", "6", "7"}
    for figure in ("1a", "3a", "3b", "5"):
        assert "pythia-70m (published)" in (tmp_path / "paper-figures" / f"figure-{figure}.csv").read_text()
    assert "A = 118.66, alpha = 0.2463" in printed
    assert "the four small ones end 8.4% above it" in printed
    cells = re.findall(r"^# %% Figure (\d)", code, re.MULTILINE)
    assert sorted(set(cells)) == list("1234567")


def test_the_training_is_stopped_by_a_rule(tmp_path: Path) -> None:
    code = shortened("training_loop.py", ("tokens=5_000", "tokens=1_000"), ("every=20", "every=5"))
    printed = run_python(code, tmp_path)
    stopped = int(printed.split()[-1])
    assert 5 <= stopped < 200
    assert [row["step"] for row in degen.read_run(tmp_path / "watched-run").checkpoints()][-1] == stopped


def test_the_package_holds_the_probe_that_the_page_shows() -> None:
    page = read("docs/write_a_probe.md")
    assert (PACKAGE / "src" / "my_package" / "outliers.py").read_text(encoding="utf-8") == blocks("python", page)[0]
    entry_points = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    assert entry_points == tomllib.loads(blocks("toml", page)[0])["project"]["entry-points"]


@pytest.mark.extras
def test_the_package_is_installed_and_its_probe_is_listed(tmp_path: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path)]
    subprocess.run([*install, str(PACKAGE)], check=True)
    command = [sys.executable, "-m", "degen", "probes", "outliers"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "outlier_share" in done.stdout


def test_the_script_for_pythia_states_the_cost_unless_told_otherwise() -> None:
    script = read("examples/pythia_figures.sh")
    subprocess.run(["sh", "-n", EXAMPLES / "pythia_figures.sh"], check=True)
    scans = [words for words in commands(script) if words[0] == "scan"]
    assert [words[-1] for words in scans] == ["$DRY"] * 5
    assert "DRY=${DRY---dry-run}" in script
