"""What is scanned where HF_HUB_OFFLINE forbids to ask the hub: what was kept, and nothing else is said to be there."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.command import degen as command
from hub_scans import Scans, file_states, revisions, sharded
from huggingface_hub import hf_hub_download
from tiny import make_series

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.mark.parametrize(("at", "names"), [
    ("step*", ["step0", "step100", "step1000"]),
    ("step100", ["step100"]),
    ("main", ["main"]),
    ("step1000,main", ["step1000", "main"]),
    ("{step100}", ["{step100}"]),
])  # fmt: skip
def test_cached_revisions_are_scanned_offline(
    scans: Scans, series: Path, corpus: Path, at: str, names: list[str]
) -> None:
    branches = revisions(series)
    repo = scans.add("org/tiny", branches | {"main": branches["step1000"] | {"README.md": b"final"}})
    scans.scan("org/tiny@*", corpus=corpus, keep="all")
    held, commits = file_states(scans.cache), {name: repo.commit(name) for name in repo.branches}
    online = scans.scan(f"org/tiny@{at.format(**commits)}", corpus=corpus, out="online")
    scans.forget()
    scans.offline()
    run = scans.scan(f"org/tiny@{at.format(**commits)}", corpus=corpus, out="offline")
    assert [row["revision"] for row in run.checkpoints()] == [name.format(**commits) for name in names]
    assert not scans.hub.requests
    for table in set(run.tables) - {"timing"}:
        assert run.table(table).equals(online.table(table))
    assert file_states(scans.cache) == held


def test_cached_shards_are_scanned_offline_as_heads_and_whole(scans: Scans, tmp_path: Path, corpus: Path) -> None:
    series = make_series(tmp_path / "tiny", steps=(1, 2))
    sharded(series / "step1")
    sharded(series / "step2", legacy=True)
    scans.add("org/tiny", revisions(series))
    online = scans.scan("org/tiny@step*", corpus=corpus, keep="all")
    scans.forget()
    scans.offline()
    assert scans.scan("org/tiny@step*", corpus=corpus, out="offline").table("windows").equals(online.table("windows"))
    assert scans.heads("org/tiny@step*", out="heads").table("spectrum").equals(online.table("spectrum"))
    result = command("scan", "org/tiny@step*", "--probes", "spectrum", "--dry-run", "--json")
    assert (result.code, [row["bytes"] for row in result.json()["rows"]][:1]) == (
        4,
        [(416 + 1) * 32 * 4],
    )  # of .bin it cannot tell
    assert not scans.hub.requests


def test_offline_without_a_cache_is_one_message(scans: Scans, series: Path, tmp_path: Path, corpus: Path) -> None:
    scans.add("org/tiny", revisions(series))
    scans.heads("org/tiny@step0")  # whose weights were not kept
    scans.offline()
    scans.forget()
    result = {spec: command("scan", spec, "-o", tmp_path / "offline") for spec in
            ("org/other", "org/tiny", "org/tiny@step0", "org/tiny@step*", "org/tiny@" + "a" * 40)}  # fmt: skip
    assert {s.code for s in result.values()} == {2}
    assert (
        "org/other: no file of this repository is in the cache, and HF_HUB_OFFLINE forbids asking the hub"
        in result["org/other"].message
    )
    assert "not in the cache, and HF_HUB_OFFLINE forbids" in result["org/tiny@" + "a" * 40].message
    for name in ("org/tiny", "org/tiny@step0", "org/tiny@step*"):
        assert "org/tiny has no revision" in result[name].message
        assert "cache" in result[name].message
    assert not scans.hub.requests


def test_weights_that_are_not_cached_fail_offline_in_their_own_rows(scans: Scans, series: Path, corpus: Path) -> None:
    repo = scans.add("org/tiny", revisions(series))
    scans.scan("org/tiny@step0", corpus=corpus, keep="all")
    scans.scan("org/tiny@step100", corpus=corpus, out="not kept")
    folder = scans.cache / "models--org--tiny"
    (folder / "refs" / "step100").write_text(repo.commit("step100"))
    hf_hub_download("org/tiny", "config.json", revision="step100")
    scans.forget()
    scans.offline()
    run = scans.scan("org/tiny@step*", corpus=corpus, out="offline")
    assert [row["status"] for row in run.checkpoints()] == ["ok", "failed"]
    assert "no weights" in run.failed[0]["reason"]
    assert "HF_HUB_OFFLINE" in run.failed[0]["reason"]
