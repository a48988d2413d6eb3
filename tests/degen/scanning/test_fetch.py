"""Series brought into the cache on a machine with network, and scanned on one without."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from faults.command import degen as command
from hub import Fault
from hub_scans import Scans, revisions

from degen.scanning import fetch as fetch_module

HEAD = (416 + 1) * 32 * 4  # bytes of the head and of the norm before it
WORDS = ("--tokens", "128", "--context", "32", "--threads", "1")


@pytest.fixture
def with_copy(scans: Scans, series: Path, tmp_path: Path) -> Path:
    """Serve `org/tiny`: the series, and a copy of its first checkpoint; return its folder."""
    folder = tmp_path / "tiny"
    shutil.copytree(series, folder)
    shutil.copytree(series / "step0", folder / "step2000")
    scans.add("org/tiny", revisions(folder))
    return folder


def weights_served(scans: Scans) -> int:
    """Return the bytes of weights that the hub has sent."""
    return sum(request.served for request in scans.hub.requests if "safetensors" in request.path)


def test_fetched_series_is_scanned_offline_in_shards_as_online(scans: Scans, with_copy: Path, corpus: Path) -> None:
    online = scans.scan("org/tiny@step*", corpus=corpus, out="online")
    scans.forget()
    done = command("fetch", "org/tiny@step*", "--corpus", corpus, *WORDS)
    size = (with_copy / "step0" / "model.safetensors").stat().st_size
    assert (done.code, weights_served(scans)) == (0, 3 * size)
    names = len(scans.hub.requests_for("/refs$"))
    assert done.out == f"tiny: 4 checkpoints, 3 fetched, 1 copy; {3 * size / 1e9:.3g} GB\n"
    assert names == 2  # to find the series, and to be kept: however many checkpoints
    scans.forget()
    scans.offline()
    for shard in ("2/2", "1/2"):
        run = scans.scan("org/tiny@step*", corpus=corpus, shard=shard)
    assert not scans.hub.requests
    assert [row["status"] for row in run.checkpoints()] == ["ok", "ok", "ok", "duplicate"]
    for table in set(run.tables) - {"timing"}:
        assert run.table(table).equals(online.table(table))


def test_of_heads_no_more_is_fetched_than_a_scan_reads(scans: Scans, with_copy: Path) -> None:
    online = scans.heads("org/tiny@step*", out="online")
    read = weights_served(scans)
    scans.forget()
    planned = command("fetch", "org/tiny@step*", "--probes", "spectrum", "--dry-run", "--json").json()["rows"]
    assert [row["bytes"] for row in planned] == [HEAD] * 3 + [0]
    assert [row["status"] for row in planned] == ["to fetch"] * 3 + ["copy"]
    scans.forget()
    assert command("fetch", "org/tiny@step*", "--probes", "spectrum").code == 0
    header = 1 << 16  # bytes that are read of the first file to plan
    assert weights_served(scans) == read + header
    scans.forget()
    scans.offline()
    run = scans.heads("org/tiny@step*")
    assert not scans.hub.requests
    assert run.table("spectrum").equals(online.table("spectrum"))


def test_what_is_in_the_cache_is_not_fetched_again(scans: Scans, with_copy: Path) -> None:
    command("fetch", "org/tiny@step*", "--probes", "weights")
    scans.forget()
    again = command("fetch", "org/tiny@step*", "--probes", "weights", "--json")
    assert [(row["bytes"], row["status"]) for row in again.json()["rows"]] == [(0, "cached")] * 3 + [(0, "copy")]
    assert weights_served(scans) == 0


def test_steps_not_fetched_are_known_offline_and_fail_in_their_own_rows(scans: Scans, with_copy: Path) -> None:
    command("fetch", "org/tiny@step*", "--probes", "spectrum", "--steps", "0,1000")
    scans.forget()
    scans.offline()
    run = scans.heads("org/tiny@step*")
    assert [(row["revision"], row["status"]) for row in run.checkpoints()] == [
        ("step0", "ok"), ("step100", "failed"), ("step1000", "ok"), ("step2000", "duplicate"),
    ]  # fmt: skip
    assert "HF_HUB_OFFLINE forbids" in run.failed[0]["reason"]


def test_checkpoint_that_cannot_be_fetched_keeps_no_other_from_it(scans: Scans, with_copy: Path) -> None:
    scans.hub.faults.append(Fault("step100", status=403))
    commit = scans.hub.repos["org/tiny"].commit("step100")
    scans.hub.faults.append(Fault(commit, status=403))
    done = command("fetch", "org/tiny@step*", "--probes", "spectrum", "--json")
    assert done.code == 4
    rows = {row["revision"]: row for row in done.json()["rows"]}
    assert [row["status"] for row in rows.values()] == ["fetched", "failed", "fetched", "copy"]
    assert "refuses access (403)" in rows["step100"]["reason"]


def test_disk_that_is_too_small_is_found_before_anything_is_fetched(
    scans: Scans, with_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_module, "free_space", lambda: 1000)
    done = command("fetch", "org/tiny@step*", "--probes", "weights")
    assert (done.code, weights_served(scans)) == (2, 0)
    assert "are to be fetched, and 1e-06 GB are free; thin the series with --steps" in done.err


def test_fetch_offline_and_of_local_folders(scans: Scans, series: Path) -> None:
    assert command("fetch", series, "--probes", "spectrum").out == "tiny: 3 checkpoints, 3 local; 0 GB\n"
    scans.offline()
    refused = command("fetch", "org/tiny")
    assert (refused.code, "unset it on the machine with network" in refused.message) == (2, True)
