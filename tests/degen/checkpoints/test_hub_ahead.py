"""The next checkpoint of the hub comes while this one is measured, in scans of whole checkpoints and of heads."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub import Fault
from hub_scans import Files, Scans, revisions
from tiny import make_series

import degen
import degen.scanning.measure

WHOLE = [None, ["spectrum"]]  # probes: all of them, and those of the head


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    return revisions(make_series(tmp_path_factory.mktemp("ahead") / "tiny", steps=range(5)))


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], None]], None]:
    """Has something called while a checkpoint is measured."""

    def set_up(call: Callable[[str], None]) -> None:
        measure = degen.scanning.measure.measure

        def watched(opened: Any, *args: Any) -> Any:
            call(str(opened.checkpoint))
            return measure(opened, *args)

        monkeypatch.setattr(degen.scanning.measure, "measure", watched)

    return set_up


class Line:
    """What has been asked of the weights of revisions."""

    def __init__(self, scans: Scans, *repos: str) -> None:
        self.hub = scans.hub
        self.commits = {
            f"{repo.rpartition('/')[2]}@{name}": scans.hub.repos[repo].commit(name)
            for repo in repos for name in scans.hub.repos[repo].branches
        }  # fmt: skip

    def asked(self, checkpoint: str) -> bool:
        """Whether anything of a checkpoint's weights was asked for."""
        return bool(self.hub.requests_for(f"{self.commits[checkpoint]}/model.safetensors"))

    def wait_for(self, checkpoint: str) -> None:
        """Wait until it was."""
        deadline = time.monotonic() + 20
        while not self.requests_for(checkpoint):
            assert time.monotonic() < deadline, f"{checkpoint} is not asked for"
            time.sleep(0.005)


@pytest.mark.parametrize("probes", WHOLE)
def test_one_checkpoint_is_fetched_ahead_and_never_two(
    scans: Scans, named: dict[str, Files], corpus: Path, during: Any, probes: list[str] | None
) -> None:
    scans.add("org/tiny", named)
    line, seen = Line(scans, "org/tiny"), []

    def look(checkpoint: str) -> None:
        step = int(checkpoint.removeprefix("tiny@step"))
        seen.append(step)
        if step < 4:
            line.wait_for(f"tiny@step{step + 1}")
        time.sleep(0.1)
        assert [line.requests_for(f"tiny@step{i}") for i in range(5)] == [i <= step + 1 for i in range(5)]

    during(look)
    run = scans.scan("org/tiny@step*", corpus=corpus, probes=probes)
    assert [row["status"] for row in run.checkpoints()] == ["ok"] * 5, run.failed
    assert seen == list(range(5))


@pytest.mark.parametrize("probes", WHOLE)
def test_copies_are_not_fetched_ahead_and_failures_stop_nothing(
    scans: Scans, named: dict[str, Files], corpus: Path, during: Any, probes: list[str] | None
) -> None:
    copies = {f"step{i}": named["step0"] | {"README.md": bytes([i])} for i in (1, 2)}
    repo = scans.add("org/tiny", named | copies)
    scans.hub.faults.append(Fault(f"{repo.commit('step3')}/model.safetensors", status=403, times=None))
    line, seen = Line(scans, "org/tiny"), []

    def look(checkpoint: str) -> None:
        seen.append(checkpoint)
        if checkpoint == "tiny@step0":
            line.wait_for("tiny@step3")

    during(look)
    rows = scans.scan("org/tiny@step*", corpus=corpus, probes=probes).checkpoints()
    assert [row["status"] for row in rows] == ["ok", "duplicate", "duplicate", "failed", "ok"]
    assert seen == ["tiny@step0", "tiny@step4"]
    assert not line.requests_for("tiny@step1")
    assert not line.requests_for("tiny@step2")


def test_the_first_of_the_next_series_comes_while_the_last_of_this_one_is_measured(
    scans: Scans, named: dict[str, Files], corpus: Path, during: Any
) -> None:
    scans.add("org/a", {name: named[name] for name in ("step0", "step1")})
    scans.add("org/b", {name: named[name] for name in ("step2", "step3")})
    line = Line(scans, "org/a", "org/b")

    def look(checkpoint: str) -> None:
        if checkpoint == "a@step1":
            line.wait_for("b@step2")

    during(look)
    assert not scans.scan("org/a@step*", "org/b@step*", corpus=corpus).failed


def test_measured_checkpoints_are_not_fetched_ahead_in_a_continued_scan(
    scans: Scans, named: dict[str, Files], corpus: Path, during: Any
) -> None:
    scans.add("org/tiny", named)
    line = Line(scans, "org/tiny")
    scans.hub.faults += [Fault(f"{line.commits[f'tiny@step{i}']}/model", status=403, times=None) for i in (0, 3)]
    assert len(scans.scan("org/tiny@step*", corpus=corpus).failed) == 2
    scans.hub.faults.clear()
    scans.forget()

    def look(checkpoint: str) -> None:
        if checkpoint == "tiny@step0":
            line.wait_for("tiny@step3")

    during(look)
    assert not scans.scan("org/tiny@step*", corpus=corpus).failed
    assert [line.requests_for(f"tiny@step{i}") for i in range(5)] == [True, False, False, True, False]
