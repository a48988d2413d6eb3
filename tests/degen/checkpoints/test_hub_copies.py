"""Revisions that are copies of another one: told by published hashes, measured and fetched once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hub import Fault
from hub_scans import Scans, revisions

import degen


@pytest.fixture
def copies(scans: Scans, series: Path) -> Scans:
    """Return step0, step100, its copies step150 and step200, step300 with its weights and another config, step1000."""
    named = revisions(series)
    config = json.loads(named["step100"]["config.json"])
    other = named["step100"] | {"config.json": json.dumps(config | {"layer_norm_eps": 0.5}).encode()}
    same = named["step100"] | {"config.json": json.dumps(config | {"transformers_version": "4.0"}).encode()}
    scans.add(
        "org/tiny", named | {"step150": named["step100"], "step200": same | {"README.md": b"!"}, "step300": other}
    )
    return scans


STATUS = [("ok", None), ("ok", None), ("duplicate", "step100"), ("duplicate", "step100"), ("ok", None), ("ok", None)]


def status(run: degen.Run) -> list[tuple[str, str | None]]:
    return [(row["status"], row["duplicate_of"]) for row in run.checkpoints()]


def test_copies_are_recognised_by_their_hashes_and_their_rows_are_copied(copies: Scans, corpus: Path) -> None:
    run = copies.scan("org/tiny@step*", corpus=corpus, tokens_per_step=10)
    assert status(run) == STATUS
    rows = {row["revision"]: row for row in run.checkpoints()}
    for name in ("step150", "step200"):
        seen = 10 * int(name[4:])
        expected = {"revision": name, "step": int(name[4:]), "tokens_seen": seen}
        expected["training_flops"] = seen * rows["step100"]["flops_per_token"]
        assert rows[name] == rows["step100"] | expected | {"status": "duplicate", "duplicate_of": "step100"}
        for table in ("layers", "windows", "spectrum"):
            parts = [[r for r in run.table(table).drop_columns(["step"]).to_pylist() if r["revision"] == n]
                     for n in (name, "step100")]  # fmt: skip
            assert [r | {"revision": ""} for r in parts[0]] == [r | {"revision": ""} for r in parts[1]] != []
    assert rows["step300"]["head_sha256"] == rows["step100"]["head_sha256"]
    assert rows["step300"]["loss"] != rows["step100"]["loss"]
    repo = copies.hub.repos["org/tiny"]
    assert not copies.hub.requests_for(f"{repo.commit('step200')}/model.safetensors")


def test_copies_of_what_an_earlier_session_measured_are_found(copies: Scans, corpus: Path) -> None:
    repo = copies.hub.repos["org/tiny"]
    weights = f"{repo.commit('step1000')}/model.safetensors"
    copies.hub.faults.append(Fault(weights, status=403, times=None))
    copies.scan("org/tiny@step*", corpus=corpus)
    copies.hub.faults.clear()
    for name in ("step150", "step200"):
        (copies.folder / "run" / "checkpoints" / "tiny" / f"{name}.parquet").unlink()
    copies.forget()
    assert status(copies.scan("org/tiny@step*", corpus=corpus)) == STATUS
    fetched = {r.path.split("/")[-2] for r in copies.hub.requests_for(r"\.safetensors", "HEAD")}
    assert fetched == {repo.commit("step1000")}


def test_a_copy_of_one_that_failed_is_measured_itself(copies: Scans, corpus: Path) -> None:
    repo = copies.hub.repos["org/tiny"]
    repo.push("step150", dict(repo.branches["step150"]) | {"README.md": b"another commit"})
    copies.hub.faults.append(Fault(f"{repo.commit('step100')}/model.safetensors", status=403, times=None))
    rows = copies.scan("org/tiny@step*", corpus=corpus).checkpoints()
    assert [(r["revision"], r["status"], r["duplicate_of"]) for r in rows[1:4]] == [
        ("step100", "failed", None), ("step150", "ok", None), ("step200", "duplicate", "step150"),
    ]  # fmt: skip


def test_checkpoints_of_two_series_are_no_copies_of_each_other(scans: Scans, series: Path, corpus: Path) -> None:
    scans.add("org/tiny", revisions(series))
    run = scans.scan("org/tiny@step0", "twin=org/tiny@step0,step100", corpus=corpus)
    assert [(r["model"], r["revision"], r["status"]) for r in run.checkpoints()] == [
        ("tiny", "step0", "ok"), ("twin", "step0", "ok"), ("twin", "step100", "ok"),
    ]  # fmt: skip
