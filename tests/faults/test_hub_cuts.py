"""Every kind of request to the hub, and every way it can fail: it is asked again, or one checkpoint fails alone."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults.command import degen as command
from hub import Fault, Request
from hub_scans import Files, Scans, revisions, sharded
from huggingface_hub import constants
from tiny import make_series

import degen

STEPS = range(8)


@pytest.fixture(scope="module")
def branches(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    """Return checkpoints in two shards, each with a configuration and an index of its own, which say the same."""
    series = make_series(tmp_path_factory.mktemp("cuts") / "tiny", steps=STEPS)
    for step in STEPS:
        folder = sharded(series / f"step{step}", shards=2)
        for name in ("config.json", "model.safetensors.index.json"):
            content = json.loads((folder / name).read_text())
            (folder / name).write_text(json.dumps(content | {"transformers_version": f"5.0.{step}"}))
    return revisions(series)


@pytest.fixture(scope="module")
def figures(branches: dict[str, Files], tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> dict[str, degen.Run]:
    """Return scans of the same files in folders, which nothing disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for name, files in branches.items():
        for file, content in files.items():
            (folder / "tiny" / name).mkdir(parents=True, exist_ok=True)
            (folder / "tiny" / name / file).write_bytes(content)
    heads = degen.scan(folder / "tiny", probes=["spectrum"], out=folder / "heads", threads=1)
    whole = degen.scan(folder / "tiny", corpus=corpus, tokens=64, context=32, out=folder / "whole", threads=1)
    assert not heads.failed + whole.failed
    return {"heads": heads, "whole": whole}


@dataclass
class RangeFault(Fault):
    """Something that goes wrong with some ranges alone."""

    ranges: str = ""

    def hits(self, request: Request, body: int) -> bool:
        """Return whether the fault is one of this request."""
        return re.search(self.ranges, request.range or "") is not None and super().hits(request, body)


@dataclass(frozen=True)
class Kind:
    """A kind of request: what tells it, and whether a scan of heads makes it."""

    path: str
    method: str = "GET"
    ranges: str = ""
    heads: bool = True

    def fault(self, commit: str, status: int | None = None, cut: int | None = None, times: int | None = 1) -> Fault:
        """Return a fault of such requests about a commit."""
        return RangeFault(
            self.path.format(commit=commit), status=status, cut=cut, method=self.method, times=times, ranges=self.ranges
        )


SHARD = r"model-0000\d-of-00002\.safetensors"
KINDS: dict[str, Kind] = {
    "tree": Kind("/tree/{commit}"),
    "a further page of it": Kind("/tree/{commit}.*cursor"),
    "config HEAD": Kind(r"/resolve/{commit}/config\.json", "HEAD"),
    "config GET": Kind(r"/resolve/{commit}/config\.json"),
    "index HEAD": Kind(r"/resolve/{commit}/model\.safetensors\.index", "HEAD"),
    "index GET": Kind(r"/resolve/{commit}/model\.safetensors\.index"),
    "header, at the hub": Kind(f"/resolve/{{commit}}/{SHARD}", ranges="=0-"),
    "header, at the storage": Kind(f"tiny/{{commit}}/{SHARD}", ranges="=0-"),
    "head, at the hub": Kind(f"/resolve/{{commit}}/{SHARD}", ranges="=[1-9]"),
    "head, at the storage": Kind(f"tiny/{{commit}}/{SHARD}", ranges="=[1-9]"),
    "weights HEAD": Kind(f"/resolve/{{commit}}/{SHARD}", "HEAD", heads=False),
    "weights GET": Kind(f"tiny/{{commit}}/{SHARD}", heads=False),
}
REDIRECTS = ("HEAD", "at the hub")  # answers without a body, which cannot be cut
LASTING: Mapping[str, tuple[int | None, int | None, str]] = {  # status, cut, what is said of it
    "step1": (500, None, "the hub failed with status 500"),
    "step2": (None, None, "the hub cannot be reached"),
    "step3": (None, 10, "the hub cannot be reached"),
    "step4": (401, None, r"no such repository|refuses access \(401\)"),
    "step5": (403, None, r"refuses access \(403\)"),
    "step6": (404, None, "the hub failed with status 404"),
}


@pytest.fixture
def scan(scans: Scans, corpus: Path, branches: dict[str, Files]) -> Callable[[bool], degen.Run]:
    scans.add("org/tiny", branches)
    scans.hub.page = 4

    def run(heads: bool) -> degen.Run:
        if heads:
            return scans.heads("org/tiny@step*")
        return scans.scan("org/tiny@step*", corpus=corpus, tokens=64)

    return run


def assert_figures(run: degen.Run, undisturbed: degen.Run) -> None:
    """Check that all figures are those of a scan where nothing goes wrong."""
    failed = {row["revision"] for row in run.failed}
    for table in set(run.tables) - {"timing"}:
        ours, theirs = (
            [r for r in t.table(table).to_pylist() if r["revision"] not in failed] for t in (run, undisturbed)
        )
        assert ours == theirs


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_failure_of_any_request_is_retried(
    scans: Scans, scan: Callable[[bool], degen.Run], figures: dict[str, degen.Run], kind: str
) -> None:
    commit = scans.hub.repos["org/tiny"].commit("step3")
    cut = () if kind.endswith(REDIRECTS) or " HEAD" in kind else (KINDS[kind].fault(commit, cut=10),)
    closed = KINDS[kind].fault(commit)
    for fault in (KINDS[kind].fault(commit, status=429), KINDS[kind].fault(commit, status=500), closed, *cut):
        scans.hub.faults.append(fault)
    run = scan(KINDS[kind].heads)
    assert not run.failed
    assert_figures(run, figures["heads" if KINDS[kind].heads else "whole"])
    assert all(fault.times == 0 for fault in scans.hub.faults)
    assert not scans.weights()


@pytest.mark.parametrize("kind", KINDS)
def test_a_lasting_failure_of_any_request_fails_one_checkpoint_alone(
    scans: Scans, scan: Callable[[bool], degen.Run], figures: dict[str, degen.Run], kind: str
) -> None:
    repo, expected = scans.hub.repos["org/tiny"], {}
    for name, (status, cut, words) in LASTING.items():
        if cut is None or not (kind.endswith(REDIRECTS) or " HEAD" in kind):
            scans.hub.faults.append(KINDS[kind].fault(repo.commit(name), status, cut, times=None))
            expected[name] = words
    run = scan(KINDS[kind].heads)
    assert {row["revision"] for row in run.failed} == expected.keys()
    for row in run.failed:
        assert re.search(expected[row["revision"]], row["reason"]), row["reason"]
        assert "\n" not in row["reason"]
        assert len(row["reason"]) < 300
    assert_figures(run, figures["heads" if KINDS[kind].heads else "whole"])
    assert not scans.weights()
    assert not (scans.folder / "run" / ".downloads").exists()


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_the_tokenizer_of_another_revision_serves_where_one_cannot_be_had(
    scans: Scans, scan: Callable[[bool], degen.Run], figures: dict[str, degen.Run], method: str
) -> None:
    repo = scans.hub.repos["org/tiny"]
    for name, (status, _, _) in LASTING.items():
        path = f"/resolve/{repo.commit(name)}/tokenizer.json"
        scans.hub.faults.append(Fault(path, status=status, method=method, times=None))
    scans.hub.faults.append(Fault(f"/resolve/{repo.commit('step0')}/tokenizer", method=method, status=500, times=None))
    run = scan(False)
    assert not run.failed
    assert_figures(run, figures["whole"])


@pytest.mark.parametrize("status", [500, 404, None])
def test_a_tokenizer_that_cannot_be_had_at_all_is_one_message(
    scans: Scans, scan: Callable[[bool], degen.Run], status: int | None
) -> None:
    scans.hub.faults.append(Fault("/tokenizer.json", status=status, times=None))
    result = command("scan", "org/tiny@step0,step1", "-o", scans.folder / "run")
    assert result.code == 2
    assert "tokenizer.json" in result.message
    assert "hub" in result.message


@pytest.mark.parametrize("status", [500, 401, 403, 404, None])
def test_a_command_whose_requests_fail_reports_each_failed_checkpoint_in_its_row(
    scans: Scans, branches: dict[str, Files], status: int | None
) -> None:
    scans.add("org/tiny", {name: branches[name] for name in ("step1", "step2")})
    commit = scans.hub.repos["org/tiny"].commit("step2")
    scans.hub.faults.append(Fault(f"/tree/{commit}", status=status, times=None))
    result = command("scan", "org/tiny@step*", "--probes", "spectrum", "-o", scans.folder / "run", "--json")
    result.assert_no_fault()
    assert (result.code, [row["status"] for row in result.json()["rows"]]) == (4, ["ok", "failed"])
    assert len(result.err.splitlines()) == 2


@contextmanager
def silent() -> Iterator[str]:
    """Yield a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_hub_that_never_responds_is_an_error_with_a_timeout(scans: Scans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    with silent() as endpoint:
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        for spec in ("org/tiny", "org/tiny@step*"):
            with pytest.raises(degen.DegenError, match=r"the hub cannot be reached .*Timeout"):
                degen.scan(spec, out=scans.folder / "run")


def test_requests_to_a_hub_that_stops_responding_are_sent_again(
    scans: Scans, scan: Callable[[bool], degen.Run], figures: dict[str, degen.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    scans.hub.bytes_per_second = 10  # no body comes in time
    threading.Timer(1.5, setattr, (scans.hub, "bytes_per_second", None)).start()
    run = scan(True)
    assert not run.failed
    assert_figures(run, figures["heads"])


def test_a_scan_is_continued_when_the_hub_is_reachable_again(
    scans: Scans, scan: Callable[[bool], degen.Run], figures: dict[str, degen.Run]
) -> None:
    gone = Fault("step|resolve|tree|tiny", times=None)
    repo = scans.hub.repos["org/tiny"]
    scans.hub.faults.append(Fault(f"/tree/{repo.commit('step4')}", times=20))
    run = scan(False)
    assert [row["revision"] for row in run.failed] in ([], ["step4"])
    scans.hub.faults[:] = [gone]
    with pytest.raises(degen.DegenError, match="the hub cannot be reached"):
        scan(False)
    scans.hub.faults.clear()
    run = scan(False)
    assert not run.failed
    assert_figures(run, figures["whole"])
