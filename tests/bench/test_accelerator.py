"""`bench/accelerator.py --tiny`: green as it stands, and each of its checks fails by a fault that is planted for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "bench" / "accelerator.py"
PAGE, RECORDED = ROOT / "docs" / "accelerators.md", ROOT / "docs" / "accelerators.json"
MARK = "<!-- python bench/accelerator.py --table docs/accelerators.json -->\n"

PARTS = [
    "right.models.float32", "right.models.bfloat16", "right.models.float16", "right.demo", "right.continued",
    "right.rank", "right.callback", "busy.rate", "busy.tiny", "memory.peak", "memory.halving", "rank.trained",
    "head.2048x64", "head.4096x96",
]  # fmt: skip


def run_script(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, env=os.environ)


def table_of(file: Path) -> str:
    done = run_script(SCRIPT, "--table", file)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_tiny_run_passes_every_check_and_its_file_gives_its_tables(tmp_path: Path) -> None:
    # 3000 seconds: however busy the machine is
    done = run_script(SCRIPT, "--tiny", "--seconds", "3000", "-o", tmp_path / "results.json")
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert [(part["part"], part["status"]) for part in results["parts"]] == [(name, "ok") for name in PARTS]
    rows = {part["part"]: part["rows"] for part in results["parts"]}
    assert len(rows["right.models.float32"]) == 13 * 5  # models, figures
    assert rows["memory.halving"][0]["used"] < rows["memory.halving"][0]["asked"]
    assert all(row["difference"] < 1e-12 for row in rows["head.4096x96"])
    page = table_of(tmp_path / "results.json")
    assert done.stdout.endswith(page)
    for title in ("Right: tiny models", "Busy", "Seconds by phase", "Spectrum of the head", "Heads that are trained"):
        assert f"### {title}\n" in page
    assert list(tmp_path.iterdir()) == [tmp_path / "results.json"]  # nothing else is left behind


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run every planted fault; return the folder with a file and an exit code for each."""
    folder = tmp_path_factory.mktemp("planted")
    done = run_script(Path(__file__).with_name("planted.py"), SCRIPT, folder)
    assert done.returncode == 0, done.stderr
    return folder


def parts_of(planted: Path, fault: str) -> tuple[list[dict[str, Any]], int]:
    """Return the parts of a run, and its exit code."""
    parts = json.loads((planted / f"{fault}.json").read_text())["parts"]
    return parts, int((planted / f"{fault}.exit").read_text())


@pytest.mark.parametrize(
    ("fault", "failing"),
    [
        ("loss", {("gpt2", "loss"), ("gpt2", "window loss")}),
        ("anisotropy", {("gpt2", "anisotropy"), ("gpt2", "mean norm")}),
        ("singular values", {("gpt2", "singular values")}),
        ("head", {("granite", "scan")}),
        ("demo", {("demo series", "loss")}),
        ("continued", {("cut scan", "cells that differ"), ("cut training of heads", "cells that differ")}),
        ("rank", {("rank, svd", "loss"), ("rank, whitened", "loss")}),
        ("callback", {("callback", "random states moved")}),
    ],
)
def test_a_planted_fault_fails_the_checks_that_look_for_it_and_no_other(
    planted: Path, fault: str, failing: set[tuple[str, str]]
) -> None:
    parts, code = parts_of(planted, fault)
    assert code == 1
    assert [part["status"] for part in parts] == ["failed"], parts
    rows = parts[0]["rows"]
    assert {(row["check"], row["what"]) for row in rows if not row["ok"]} == failing
    assert len(rows) > len(failing) or fault == "continued"
    assert "**" in table_of(planted / f"{fault}.json")


def test_a_part_that_raises_is_reported_and_the_others_go_on(planted: Path) -> None:
    parts, code = parts_of(planted, "scan")
    assert code == 1
    assert [part["status"] for part in parts] == ["error", "ok", "ok"]
    assert parts[0]["error"] == "RuntimeError: planted"
    assert "- `right.demo`: error (RuntimeError: planted)" in table_of(planted / "scan.json")


def test_a_batch_that_is_not_halved_fails_its_part(planted: Path) -> None:
    parts, code = parts_of(planted, "memory")
    assert code == 0  # by `right` alone
    assert parts[0]["status"] == "failed"
    assert "allocate" in parts[0]["rows"][0]["said"]


def test_parts_that_have_not_begun_in_time_are_not_run(planted: Path) -> None:
    parts, code = parts_of(planted, "time")
    assert code == 0
    assert [(part["part"], part["status"]) for part in parts] == [(name, "not run: out of time") for name in PARTS]


def test_the_page_of_accelerators_shows_the_recorded_results_or_says_there_are_none() -> None:
    published = PAGE.read_text(encoding="utf-8").split(MARK)[1]
    assert published.strip() == (table_of(RECORDED).strip() if RECORDED.exists() else "not yet run on a card")
