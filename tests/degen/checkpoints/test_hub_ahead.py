"""The next checkpoint of the hub comes while this one is measured, in scans of whole checkpoints and of heads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub import Fault
from hub_scans import Files, Scans, revisions
from tiny import make_series
from waiting import finish_fetching, wait_until

import degen
import degen.scanning.measure

WHOLE = [None, ["spectrum"]]  # probes: all of them, and those of the head


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    return revisions(make_series(tmp_path_factory.mktemp("ahead") / "tiny", steps=range(5)))


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], None]], None]:
    """Return a function that has another one called with each checkpoint before it is measured."""

    def set_up(call: Callable[[str], None]) -> None:
        measure = degen.scanning.measure.measure

        def watched(opened: Any, *args: Any) -> Any:
            call(str(opened.checkpoint))
            return measure(opened, *args)

        monkeypatch.setattr(degen.scanning.measure, "measure", watched)

    return set_up


class WeightRequests:
    """Tells whether the weights of a revision were asked for."""

    def __init__(self, scans: Scans, *repos: str) -> None:
        self.hub = scans.hub
        self.commits = {
            f"{repo.rpartition('/')[2]}@{name}": scans.hub.repos[repo].commit(name)
            for repo in repos for name in scans.hub.repos[repo].branches
        }  # fmt: skip

    def include(self, checkpoint: str) -> bool:
        """Return whether any part of a checkpoint's weights was asked for."""
        return bool(self.hub.requests_for(f"{self.commits[checkpoint]}/model.safetensors"))

    def wait_for(self, checkpoint: str) -> None:
        """Wait until it was."""
        wait_until(lambda: self.include(checkpoint), f"{checkpoint} is not asked for")


@pytest.mark.parametrize("probes", WHOLE)
def test_one_checkpoint_is_fetched_ahead_and_never_two(
    scans: Scans, named: dict[str, Files], corpus: Path, during: Any, probes: list[str] | None
) -> None:
    scans.add("org/tiny", named)
    weights, seen = WeightRequests(scans, "org/tiny"), []

    def on_measure(checkpoint: str) -> None:
        step = int(checkpoint.removeprefix("tiny@step"))
        seen.append(step)
        if step < 4:
            weights.wait_for(f"tiny@step{step + 1}")
        finish_fetching()
        assert [weights.include(f"tiny@step{i}") for i in range(5)] == [i <= step + 1 for i in range(5)]

    during(on_measure)
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
    weights, seen = WeightRequests(scans, "org/tiny"), []

    def on_measure(checkpoint: str) -> None:
        seen.append(checkpoint)
        if checkpoint == "tiny@step0":
            weights.wait_for("tiny@step3")

    during(on_measure)
    rows = scans.scan("org/tiny@step*", corpus=corpus, probes=probes).checkpoints()
    assert [row["status"] for row in rows] == ["ok", "duplicate", "duplicate", "failed", "ok"]
    assert seen == ["tiny@step0", "tiny@step4"]
    assert not weights.include("tiny@step1")
    assert not weights.include("tiny@step2")


def test_the_first_of_the_next_series_comes_while_the_last_of_this_one_is_measured(
    scans: Scans, named: dict[str, Files], corpus: Path, during: Any
) -> None:
    scans.add("org/a", {name: named[name] for name in ("step0", "step1")})
    scans.add("org/b", {name: named[name] for name in ("step2", "step3")})
    weights = WeightRequests(scans, "org/a", "org/b")

    def on_measure(checkpoint: str) -> None:
        if checkpoint == "a@step1":
            weights.wait_for("b@step2")

    during(on_measure)
    assert not scans.scan("org/a@step*", "org/b@step*", corpus=corpus).failed


def test_measured_checkpoints_are_not_fetched_ahead_in_a_continued_scan(
    scans: Scans, named: dict[str, Files], corpus: Path, during: Any
) -> None:
    scans.add("org/tiny", named)
    weights = WeightRequests(scans, "org/tiny")
    scans.hub.faults += [Fault(f"{weights.commits[f'tiny@step{i}']}/model", status=403, times=None) for i in (0, 3)]
    assert len(scans.scan("org/tiny@step*", corpus=corpus).failed) == 2
    scans.hub.faults.clear()
    scans.forget()

    def on_measure(checkpoint: str) -> None:
        if checkpoint == "tiny@step0":
            weights.wait_for("tiny@step3")

    during(on_measure)
    assert not scans.scan("org/tiny@step*", corpus=corpus).failed
    assert [weights.include(f"tiny@step{i}") for i in range(5)] == [True, False, False, True, False]
