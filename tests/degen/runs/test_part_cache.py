"""Parts of a run that grows: each is read once, and again where it was written anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from made_runs import make_run

from degen import DegenError
from degen.callbacks.step_rules import judge_step
from degen.gate import parse_rule
from degen.runs import part_cache
from degen.runs.part_cache import PartCache
from degen.runs.parts import part_files, read_part_and_schema
from degen.runs.run_file import RUN_FILE

RULES = [parse_rule(rule) for rule in ("anisotropy < 0.3", "loss.rise < 0.02", "anisotropy[layer=1] < 0.2")]
TABLES = ("checkpoints", "layers", "windows", "timing")


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return make_run(tmp_path / "whole", ("good", "bad"), checkpoints=6, layers=2, windows=4, width=2, tables=TABLES)


def grow(run: Path, whole: Path, step: int) -> None:
    """Add what was measured at a step."""
    for table in TABLES:
        (run / table / "bad").mkdir(parents=True, exist_ok=True)
        shutil.copy(whole / table / "bad" / f"step{step}.parquet", run / table / "bad")
    shutil.copy(whole / RUN_FILE, run)


def test_a_run_that_grows_is_judged_as_if_read_anew_and_each_part_is_read_once(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def count(file: Path, columns: object = None) -> object:
        read.append(f"{file.parent.parent.name}/{file.name}")
        return read_part_and_schema(file, columns)  # type: ignore[arg-type]

    monkeypatch.setattr(part_cache, "read_part_and_schema", count)
    cache, run = PartCache(), tmp_path / "run"
    broken = 0
    for step in range(0, 6000, 1000):
        grow(run, whole, step)
        read.clear()
        judged = judge_step(RULES, run, step, 0.9, cache)
        assert {name.split("/")[1] for name in read if name.startswith(("checkpoints", "layers"))} <= {
            f"step{step}.parquet",
            "step0.parquet",  # of which columns are read that were not needed before
        }
        assert read.count(f"checkpoints/step{step}.parquet") == 1
        assert step == 0 or "checkpoints/step0.parquet" not in read
        assert judged == judge_step(RULES, run, step, 0.9)
        broken += len(judged[0])
    assert broken


def test_a_part_that_was_written_anew_is_read_anew(whole: Path) -> None:
    first, second = part_files(whole / "checkpoints" / "bad")[:2]
    cache = PartCache()
    before = cache.read(first, ["loss"])[0]
    assert before.equals(read_part_and_schema(first, ["loss"])[0])
    second.replace(first)
    assert cache.read(first, ["loss"])[0].equals(read_part_and_schema(first, ["loss"])[0])
    assert not cache.read(first, ["loss"])[0].equals(before)
    first.unlink()
    with pytest.raises(DegenError, match="cannot be read"):
        cache.read(first, ["loss"])
